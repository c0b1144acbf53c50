// The filter box says how it may go on, and columns are moved.
let asked = null;

async function hint(text) {
  asked?.abort();
  asked = new AbortController();
  try {
    const answer = await fetch("/machines/complete?q=" + encodeURIComponent(text), { signal: asked.signal });
    const list = document.getElementById("hints");
    if (answer.ok && list) list.innerHTML = await answer.text();
  } catch {
    // another letter was typed, or the server is away: there are no hints
  }
}

export function followNarrowing() {
  const box = document.getElementById("q");
  if (!box) return;
  box.addEventListener("input", () => hint(box.value));
  box.addEventListener("focus", () => hint(box.value), { once: true });
  // What was typed before this script ran counts, once htmx has begun, which waits for its turn.
  setTimeout(() => box.value !== box.defaultValue && box.dispatchEvent(new Event("input", { bubbles: true })));
  document.addEventListener("click", (event) => {
    const move = event.target.closest?.("[data-move=up]");
    if (move) {
      const item = move.closest("li");
      item.previousElementSibling?.before(item);
      move.focus();
    }
  });
}
