// Brings what is wrong with a form into sight: on a phone it may be far below what the
// page begins with. A page that puts the cursor into a field says there what is wrong.
export function showFault() {
  const fault = document.querySelector("form [role=alert]:not([hidden])");
  if (!fault || document.querySelector("[autofocus]")) return;
  fault.tabIndex = -1;
  fault.focus({ preventScroll: true });
  fault.scrollIntoView({ block: "center" });
}
