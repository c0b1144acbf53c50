import { editRow } from "./inline.js";

// Which machines are chosen: some by their IDs, or all that match a filter but some.
// It survives paging, reloading and whatever the server sends, and is this tab's own.
const key = "chosen";
let filter = null; // all that match it are chosen, but those in ids
let ids = new Set();
let total = 0; // how many match the filter
let last = ""; // the machine that was chosen last, from which a range goes

function load() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(key) ?? "{}");
    ({ filter = null, total = 0 } = kept);
    ids = new Set(kept.ids);
  } catch {
    // storage is blocked, or holds something else: nothing is chosen
  }
}

function keep() {
  try {
    sessionStorage.setItem(key, JSON.stringify({ filter, total, ids: [...ids] }));
  } catch {
    // storage is blocked: it lasts as long as the page
  }
  paint();
}

const boxes = () => [...document.querySelectorAll(".pick input[name=machine]")];
const isOn = (id) => (filter === null ? ids.has(id) : !ids.has(id));
const count = () => (filter === null ? ids.size : Math.max(0, total - ids.size));

// chosenCount is how many are chosen, on a page where that matters.
export const chosenCount = () => (document.getElementById("chosen") ? count() : 0);

function set(id, on) {
  if (on === (filter === null)) ids.add(id);
  else ids.delete(id);
}

// paint brings the page in line with what is chosen.
function paint() {
  const bar = document.getElementById("chosen");
  if (!bar) return;
  const all = boxes();
  for (const box of all) box.checked = isOn(box.value);
  const page = document.querySelector("[data-choose=page]");
  if (page) {
    const on = all.filter((box) => box.checked).length;
    page.checked = on > 0 && on === all.length;
    page.indeterminate = on > 0 && on < all.length;
  }
  bar.classList.toggle("some", count() > 0);
  const text = `${count().toLocaleString("en")} chosen` + (filter === null ? "" : ", all that match");
  const word = bar.querySelector("[data-chosen=count]");
  if (word.textContent !== text) word.textContent = text;
}

// offer says on the button how many match what is listed, and tells whether that is known.
let asked = { filter: "", number: null };
async function offer() {
  const list = document.getElementById("list");
  const button = document.querySelector("[data-choose=all]");
  if (!list?.dataset.filter || !button) return false;
  const wanted = list.dataset.filter;
  if (asked.filter !== wanted) asked = { filter: wanted, number: howMany(wanted) };
  const mine = asked;
  const number = await mine.number;
  if (mine !== asked) return false; // the list is another one meanwhile
  if (number === null) {
    asked = { filter: "", number: null };
    return false;
  }
  button.dataset.total = number;
  button.textContent = `All ${number.toLocaleString("en")} that match`;
  return true;
}

// howMany asks the server; null: it did not say.
async function howMany(wanted) {
  try {
    const answer = await fetch("/machines/count?q=" + encodeURIComponent(wanted));
    return answer.ok ? Number(await answer.text()) : null;
  } catch {
    return null;
  }
}

async function chooseAll() {
  if (!(await offer())) return;
  filter = document.getElementById("list").dataset.filter;
  total = Number(document.querySelector("[data-choose=all]").dataset.total);
  ids = new Set();
  keep();
}

function chooseNone() {
  filter = null;
  ids = new Set();
  keep();
}

function choosePage(on) {
  for (const box of boxes()) set(box.value, on);
  keep();
  offer();
}

// toggle turns one machine round; as a range, as far as the last one like it.
function toggle(id, range) {
  const on = !isOn(id);
  const all = boxes().map((box) => box.value);
  const [from, to] = [all.indexOf(last), all.indexOf(id)].sort((a, b) => a - b);
  for (const one of range && from >= 0 ? all.slice(from, to + 1) : [id]) set(one, on);
  last = id;
  keep();
  offer();
}

// send fills the form with what is chosen, also on other pages.
function send(form) {
  const put = (name, value) => (form.elements[name].value = value);
  put("ids", filter === null ? [...ids].join(" ") : "");
  put("filter", filter ?? "");
  put("except", filter === null ? "" : [...ids].join(" "));
  for (const box of boxes()) box.disabled = true; // they are among those
  setTimeout(() => boxes().forEach((box) => (box.disabled = false)));
}

// chooseBy is what the keys do: x and a, and t and d for what is chosen.
export function chooseBy(event) {
  const row = document.activeElement?.closest?.(".machines tbody tr");
  const bar = document.getElementById("chosen");
  if (!bar) return false;
  switch (event.key) {
    case "x":
    case "X":
      if (!row) return false;
      toggle(row.id, event.key === "X");
      return true;
    case "a": {
      choosePage(!boxes().every((box) => box.checked));
      return true;
    }
    case "e":
      if (!row) return false;
      editRow(row);
      return true;
    case "t":
    case "d": {
      if (count() === 0 && row) toggle(row.id, false);
      const button = bar.querySelector(event.key === "t" ? "[value=tag]" : "[value=deploy]");
      if (!button || count() === 0) return false;
      button.click();
      return true;
    }
  }
  return false;
}

export function followChoice() {
  load();
  for (const box of boxes()) if (box.checked) set(box.value, true); // by somebody who was faster than this script
  keep();
  if (count() > 0) offer();
  document.addEventListener("htmx:after:swap", () => {
    const list = document.getElementById("list");
    if (filter !== null && list && list.dataset.filter !== filter) return chooseNone(); // another filter: all of what?
    paint();
    if (count() > 0) offer();
  });
  document.addEventListener("click", (event) => {
    const box = event.target.closest?.(".pick input[name=machine]");
    if (box) return toggle(box.value, event.shiftKey);
    switch (event.target.closest?.("[data-choose]")?.dataset.choose) {
      case "page":
        return choosePage(event.target.checked);
      case "all":
        return chooseAll();
      case "none":
        return chooseNone();
    }
  });
  document.addEventListener("submit", (event) => event.target.id === "chosen" && send(event.target));
  addEventListener("pageshow", (event) => event.persisted && (load(), paint()));
}
