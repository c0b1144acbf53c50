// What is ordered is what was shown: once a form asks for something else, that is shown
// first. The server sees to it; this says so before.
export function orderWhatIsSeen() {
  const form = document.querySelector("form.columns.order");
  const order = form?.querySelector("[value=order]");
  if (!order) return;
  form.addEventListener("input", (event) => {
    if (event.target.id === "typed") return;
    order.disabled = true;
    order.title = "Show what would be done first";
  });
}
