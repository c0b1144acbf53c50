import { chosenCount } from "./choose.js";

// The palette: a text narrows what can be done, arrows go through it, Enter does it. The
// server knows what there is; nothing is shown twice or in the wrong order when answers
// overtake each other, because an older question is dropped. Keys do not wait for answers:
// what an arrow leads to stays chosen, and an Enter is for what the text finds.
let asked = null;
let answered = Promise.resolve(false); // whether the list is of what was asked last
let picked = ""; // where the line leads that arrows led to since
let at = ""; // the path of the machine that has the focus

const dialog = () => document.getElementById("palette");
const box = () => document.getElementById("sought");
const options = () => [...dialog().querySelectorAll("[role=option]:not([aria-disabled])")];

function say(text) {
  document.getElementById("palette-says").textContent = text;
}

const goal = ({ dataset }) => dataset.href ?? dataset.press;

function select(option) {
  dialog().querySelector("[aria-selected=true]")?.setAttribute("aria-selected", "false");
  option?.setAttribute("aria-selected", "true");
  option?.scrollIntoView({ block: "nearest" });
  if (option) box().setAttribute("aria-activedescendant", option.id);
  else box().removeAttribute("aria-activedescendant");
}

// show puts an answer into the list, without what the page has no button for.
function show(html) {
  const list = document.getElementById("palette-list");
  list.innerHTML = html;
  for (const option of list.querySelectorAll("[data-press]")) if (!document.querySelector(option.dataset.press)) option.remove();
  for (const group of list.querySelectorAll("[role=group]")) if (!group.querySelector("[role=option]")) group.remove();
  const fault = list.querySelector("[data-fault]");
  fault?.remove();
  const all = options();
  select(all.find((option) => goal(option) === picked) ?? all[0]);
  say(fault?.textContent ?? (all.length ? "" : "Nothing matches. Part of a name, a serial number or an address will do, or a filter such as state:failed."));
}

function seek() {
  asked?.abort();
  asked = new AbortController();
  picked = "";
  answered = answer(asked.signal);
}

async function answer(signal) {
  const query = new URLSearchParams({ q: box().value, at, chosen: String(chosenCount()) });
  try {
    const found = await fetch("/palette?" + query, { signal });
    if (found.ok) show(await found.text());
    else say(found.status === 401 ? "Your session has ended. Reload the page and sign in." : "The server cannot answer now.");
    return found.ok;
  } catch (error) {
    if (error.name !== "AbortError") say("The server does not answer.");
    return false;
  }
}

// choose does what a line is for. What leads to another page leaves the palette open until
// that one is here: a key that is held or pressed again is not for what lies behind.
function choose(option, apart) {
  if (!option) return;
  const { href, press } = option.dataset;
  if (apart && href) return window.open(href, "_blank", "noopener");
  const button = press && document.querySelector(press);
  if (!href && !button?.form) dialog().close();
  if (href) location.assign(href);
  else button?.click();
}

function move(by) {
  const all = options();
  const now = all.findIndex((option) => option.getAttribute("aria-selected") === "true");
  const option = all[(now + by + all.length) % all.length];
  select(option);
  if (option) picked = goal(option);
}

// enter chooses what is selected once the list is of what the text asks for.
async function enter(apart) {
  const { signal } = asked;
  if ((await answered) && !signal.aborted && dialog().open) choose(dialog().querySelector("[aria-selected=true]"), apart);
}

const steps = { ArrowDown: 1, ArrowUp: -1 };

function open() {
  const row = document.activeElement?.closest?.(".machines tbody tr");
  at = row ? "/machines/" + row.id : location.pathname;
  dialog().showModal();
  box().value = "";
  box().focus();
  document.getElementById("palette-list").replaceChildren();
  say("");
  seek();
}

export function followPalette() {
  if (!dialog()) return;
  const dialogs = { palette: open, keys: () => document.getElementById("keys").showModal() };
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    event.preventDefault();
    if (dialog().open) dialog().close();
    else if (!document.querySelector("dialog[open]")) open();
  });
  document.addEventListener("click", (event) => {
    dialogs[event.target.closest?.("[data-open]")?.dataset.open]?.();
    if (event.target.matches?.("dialog[open]")) event.target.close(); // beside it
  });
  addEventListener("pagehide", () => dialog().close()); // or the way back would lead to it
  box().addEventListener("input", seek);
  box().addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Enter") enter(event.ctrlKey || event.metaKey);
    else if (steps[event.key]) move(steps[event.key]);
    else return;
    event.preventDefault();
  });
  document.getElementById("palette-list").addEventListener("click", (event) => choose(event.target.closest("[role=option]:not([aria-disabled])"), event.ctrlKey || event.metaKey));
}
