// A machine that does not match the filter of its list any more is marked, and leaves
// when the list is read again: a second later, so that nothing jumps from under a hand.
export function followLeft() {
  let due = 0;
  document.addEventListener("htmx:after:swap", () => {
    if (due || !document.querySelector("#list [data-left]")) return;
    due = setTimeout(() => {
      due = 0;
      document.body.dispatchEvent(new Event("list"));
    }, 1000);
  });
}
