// Edits a machine where it stands in the list: a form is laid over its row, outside of
// the list, so that nothing the server sends takes away what is typed.
let box = null; // what is laid over
let id = ""; // of the machine

const rowOf = () => document.getElementById(id);

// place puts the form over its row, wherever the row is now. A row that has left the
// list leaves the form where it was.
function place() {
  const row = rowOf();
  if (!box || !row) return;
  const at = row.getBoundingClientRect();
  box.style.top = `${at.top + scrollY}px`;
  box.style.left = `${at.left + scrollX}px`;
  box.style.width = `${at.width}px`;
  box.style.minHeight = `${at.height}px`;
}

export function leave() {
  box?.remove();
  box = null;
  rowOf()?.querySelector("th a")?.focus();
}

// show lays what the server says over the row, with the field in focus.
function show(html, field) {
  if (!box) {
    box = document.createElement("div");
    box.className = "inline";
    document.getElementById("content").append(box);
  }
  box.innerHTML = html;
  place();
  const wrong = box.querySelector(".fault ~ :is(input, textarea, select), div:has(> .fault) :is(input, textarea, select)");
  const first = box.querySelector(`[name="${field}"]`) ?? wrong ?? box.querySelector("input:not([type=hidden]), button");
  first?.focus();
  first?.select?.();
}

// editRow opens the form of a row. Where it cannot be had the page for it may say more.
export async function editRow(row, field = "name") {
  const answer = await ask(`/machines/${row.id}/inline`);
  if (!answer?.ok) return location.assign(`/machines/${row.id}/edit`);
  id = row.id;
  show(await answer.text(), field);
}

async function ask(url, options) {
  try {
    return await fetch(url, options);
  } catch {
    return null; // the server is away
  }
}

// send sends a form, and shows what became of it. A form that is under way is not sent
// again: Enter is pressed twice easily.
async function send(form, button) {
  if (form.dataset.sent) return;
  form.dataset.sent = "yes";
  const fields = new URLSearchParams(new FormData(form, button));
  const answer = await ask(form.action, { method: "POST", body: fields });
  const part = document.createElement("template");
  part.innerHTML = answer ? await answer.text() : "";
  const next = part.content.querySelector("#inline-form, #inline-done");
  delete form.dataset.sent;
  if (!next) return fail(form, answer?.status);
  if (next.id === "inline-done") {
    if (form.id === "inline-form") leave();
    return tell(next);
  }
  id = next.action.split("/").at(-2);
  document.getElementById("told")?.replaceChildren();
  show(next.outerHTML);
}

// fail says that nothing was changed. What was typed stays.
function fail(form, status) {
  const why = {
    401: "Your session has ended. Sign in in another tab, then save again.",
    403: "You may look, and an operator may change it.",
    404: "The machine is gone.",
  }[status];
  let fault = form.querySelector("[data-inline=fault]");
  if (!fault) {
    fault = document.createElement("p");
    fault.className = "fault";
    fault.dataset.inline = "fault";
    fault.setAttribute("role", "alert");
    form.prepend(fault);
  }
  fault.textContent = (why ?? "The server does not answer, or not as it should.") + " Nothing was changed.";
}

// tell says it below, with the way back, for a while.
let due = 0;
function tell(what) {
  const told = document.getElementById("told");
  told.replaceChildren(what);
  clearTimeout(due);
  due = setTimeout(() => told.replaceChildren(), 20_000);
}

// fieldAt is the field that a cell shows; the name where it is none of those.
const fieldAt = (cell) => (cell.matches(".note-cell") ? "note" : ["tags", "os"].find((name) => cell.matches("." + name)) ?? "name");

export function followInline() {
  if (!document.getElementById("told")) return;
  document.addEventListener("dblclick", (event) => {
    if (event.target.closest("a, button, input, label")) return;
    const cell = event.target.closest(".machines tbody tr[id] > :is(th, td)");
    if (cell) editRow(cell.parentElement, fieldAt(cell));
  });
  document.addEventListener("submit", (event) => {
    if (event.target.id !== "inline-form" && event.target.id !== "inline-done") return;
    event.preventDefault();
    send(event.target, event.submitter);
  });
  document.addEventListener("click", (event) => event.target.closest?.("[data-inline=leave]") && leave());
  document.addEventListener("keydown", (event) => {
    if (!box?.contains(event.target)) return;
    if (event.key === "Escape") return leave();
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || !event.target.matches("input, textarea, select")) return;
    event.preventDefault();
    event.target.form.requestSubmit();
  });
  document.addEventListener("htmx:after:swap", place);
  addEventListener("resize", place);
}
