// Follows a log: while the box is ticked, its end is in sight.
export function followLog() {
  const end = () => {
    const log = document.querySelector(".log");
    if (log && document.getElementById("follow")?.checked) log.scrollTop = log.scrollHeight;
  };
  document.addEventListener("htmx:after:swap", end);
  document.addEventListener("change", (event) => event.target.id === "follow" && end());
  // Somebody who scrolls up wants to read.
  document.addEventListener(
    "wheel",
    (event) => {
      const box = document.getElementById("follow");
      if (box && event.deltaY < 0 && event.target.closest?.(".log")) box.checked = false;
    },
    { passive: true },
  );
  end();
}
