// fillFromLink puts what is behind the # of the address, which browsers keep to
// themselves, into the field that asks for it, and takes it out of the address.
export function fillFromLink() {
  const field = document.querySelector("[data-from-link]");
  const code = location.hash.slice(1);
  if (!field || !code) return;
  field.value = code;
  history.replaceState(null, "", location.pathname);
  document.getElementById("name").focus();
}
