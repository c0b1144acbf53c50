// Shows the whole of a text that its cell cuts short, where the pointer rests. A
// list with every text twice would be a third larger.
export function showWhole() {
  document.addEventListener("mouseover", (event) => {
    const line = event.target.closest?.(".machines :is(b, span, small)");
    if (line && !line.title && line.scrollWidth > line.clientWidth) line.title = line.textContent;
  });
}
