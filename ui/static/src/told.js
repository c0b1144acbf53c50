// Takes away what was said of a change, and with it the way back, after a while; not from
// under the pointer or the focus.
const seconds = 60;

export function forgetTold() {
  const told = document.querySelector("[data-told]");
  if (!told) return;
  const forget = () => (told.matches(":hover, :focus-within") ? setTimeout(forget, 5000) : told.remove());
  setTimeout(forget, seconds * 1000);
}
