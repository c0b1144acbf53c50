// Brings the first line of a template that is wrong into sight, and puts the cursor on a
// line of the text that is edited when what is wrong with it is clicked.
export function followLines() {
  document.querySelector(".source .wrong")?.scrollIntoView({ block: "center" });
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-line]");
    const text = document.getElementById("template");
    if (!link || !text?.value.includes("\n")) return; // a name has no lines
    event.preventDefault();
    const before = text.value.split("\n").slice(0, link.dataset.line - 1);
    const start = before.reduce((sum, line) => sum + line.length + 1, 0);
    const end = text.value.indexOf("\n", start);
    text.focus();
    text.setSelectionRange(start, end < 0 ? text.value.length : end);
    text.scrollTop = (text.scrollHeight * before.length) / text.value.split("\n").length - text.clientHeight / 2;
  });
}
