// Closes what has popped up, when Escape is pressed or something else is.
const open = () => document.querySelectorAll("details.pop[open]");

export function closePops() {
  document.addEventListener("click", (event) => {
    const path = event.composedPath(); // what is pressed may be gone by now
    for (const pop of open()) if (!path.includes(pop)) pop.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
    for (const pop of open()) {
      if (pop.contains(document.activeElement)) pop.querySelector("summary").focus();
      pop.open = false;
    }
  });
}
