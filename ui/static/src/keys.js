import { chooseBy } from "./choose.js";

// Keys for those who keep their hands on them. None changes anything.

// place is where a letter behind g leads to.
const place = (key) => /^[a-z]$/.test(key) && document.querySelector(`.places a[data-go="${key}"]`);

function typing(event) {
  return event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") || event.target.closest?.("input, textarea, select, [contenteditable]");
}

// follow opens the link of the page that has the key: a page that asks, never more.
function follow(key) {
  const link = /^[a-z]$/.test(key) && document.querySelector(`a[data-key="${key}"]`);
  if (link) location.assign(link.href);
  return Boolean(link);
}

// move puts the focus on the machine that is so many rows further.
function move(by) {
  const links = [...document.querySelectorAll(".machines tbody th a")];
  const at = links.indexOf(document.activeElement);
  links[at < 0 ? 0 : Math.max(0, Math.min(links.length - 1, at + by))]?.focus();
}

export function followKeys() {
  let prefix = 0; // when g was pressed
  document.addEventListener("keydown", (event) => {
    const box = document.getElementById("q");
    if (event.key === "Escape" && event.target === box) box.blur();
    if (typing(event)) return;
    if (Date.now() - prefix < 1000 && place(event.key)) {
      location.assign(place(event.key).href);
      return;
    }
    prefix = event.key === "g" ? Date.now() : 0;
    switch (event.key) {
      case "/":
        if (!box) return;
        box.focus();
        box.select();
        break;
      case "?":
        document.getElementById("keys")?.showModal();
        break;
      case "j":
        move(1);
        break;
      case "k":
        move(-1);
        break;
      default:
        if (!chooseBy(event) && !follow(event.key)) return;
    }
    event.preventDefault();
  });
}
