// Sends a file with an image from this browser: takes its sum, asks how much of it the
// server has, and sends the rest. The sum is taken in script, since browsers offer
// theirs to https only, and for what fits into memory.
import { sha256 } from "@noble/hashes/sha2.js";

const uploads = "/api/v1/images/uploads/";
const piece = 1 << 20; // bytes that are read at once: the page stays awake in between
const tries = 5; // in a row that brought nothing

const form = document.querySelector("[data-upload]");
const part = (id) => document.getElementById(id);
let stopped = null; // an AbortController while something goes on

// size is bytes as people read them.
function size(bytes) {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (bytes < 1000) return `${bytes.toPrecision(3).replace(/\.0+$/, "")} ${unit}`;
    bytes /= 1000;
  }
  return `${bytes.toFixed(1)} TB`;
}

// tell shows how far it is.
function tell(word, done, total, began, from) {
  const percent = total ? Math.floor((100 * done) / total) : 0;
  const seconds = (Date.now() - began) / 1000;
  const rate = seconds > 1 ? (done - from) / seconds : 0;
  let line = `${word}: ${percent} %, ${size(done)} of ${size(total)}`;
  if (rate > 0) line += `, ${size(rate)}/s, about ${left((total - done) / rate)} left`;
  part("upload-work").querySelector("progress").value = percent;
  part("upload-line").textContent = line;
}

function left(seconds) {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`;
}

async function sumOf(file, signal) {
  const sum = sha256.create();
  const began = Date.now();
  for (let at = 0; at < file.size; at += piece) {
    signal.throwIfAborted();
    sum.update(new Uint8Array(await file.slice(at, at + piece).arrayBuffer()));
    tell("Reading the file here", at, file.size, began, 0);
  }
  return Array.from(sum.digest(), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Refused is an answer that would be the same another time.
class Refused extends Error {}

function reasonOf(status, text) {
  if (status === 401) return "Your session has ended. Sign in in another tab, and press Send again: it goes on from there.";
  try {
    const { detail, errors } = JSON.parse(text);
    return [detail, ...(errors ?? []).map((e) => e.message)].filter(Boolean).join(": ");
  } catch {
    return `The server answers ${status}.`;
  }
}

// put sends a part of a file. A connection that breaks is an Error, and what the server
// refuses a Refused; the answer is the job.
function put(address, body, signal, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", address);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => progress(event.loaded);
    request.onerror = () => reject(new Error("the connection broke"));
    request.onload = () => {
      const { status, responseText } = request;
      if (status < 300) resolve(JSON.parse(responseText));
      else if ((status > 400 && status < 500) || status === 507) reject(new Refused(reasonOf(status, responseText)));
      else reject(new Error(reasonOf(status, responseText)));
    };
    signal.addEventListener("abort", () => {
      request.abort();
      reject(signal.reason);
    });
    request.send(body);
  });
}

// arrived is how much of a file the server has; all of it where it is no longer receiving.
async function arrived(sum, total, signal) {
  const answer = await fetch(uploads + sum, { signal });
  if (answer.status === 404) return 0;
  if (!answer.ok) throw new (answer.status < 500 ? Refused : Error)(reasonOf(answer.status, await answer.text()));
  const { state, progress } = await answer.json();
  return state === "receiving" || state === "failed" ? progress.done : total;
}

// once sends what is missing. An empty part goes first: what will be refused is so before
// gigabytes are on their way.
async function once(file, sum, signal) {
  const have = await arrived(sum, file.size, signal);
  const title = part("file_title").value.trim() || file.name.slice(0, 128);
  const address = `${uploads}${sum}?${new URLSearchParams({ offset: have, size: file.size, title })}`;
  const job = await put(address, new Blob([]), signal, () => {});
  if (job.state !== "receiving") return have;
  const began = Date.now();
  await put(address, file.slice(have), signal, (sent) => tell("Sending", have + sent, file.size, began, have));
  return file.size;
}

async function send(file, signal) {
  const sum = await sumOf(file, signal);
  for (let left = tries, before = -1; ; ) {
    try {
      return await once(file, sum, signal);
    } catch (error) {
      if (error instanceof Refused || signal.aborted) throw error;
      const have = await arrived(sum, file.size, signal).catch(() => before);
      left = have > before ? tries : left - 1;
      before = Math.max(before, have);
      if (left === 0) throw error;
      part("upload-line").textContent = `${error.message}; trying again …`;
      await new Promise((go) => setTimeout(go, 1000 * (tries - left + 1)));
    }
  }
}

function fault(text) {
  part("upload-fault").hidden = !text;
  part("upload-fault").textContent = text;
}

function working(on) {
  part("upload-work").hidden = !on && !part("upload-line").textContent;
  part("upload-stop").hidden = !on;
  part("upload-go").disabled = part("file").disabled = on;
}

async function begin() {
  const file = part("file").files[0];
  fault("");
  if (file.size === 0) return fault("The file is empty.");
  if (file.size > Number(form.dataset.upload)) return fault(`The file has ${size(file.size)}, and there is room for ${size(Number(form.dataset.upload))} here. Clear images away that nobody needs, and load this page again.`);
  stopped = new AbortController();
  working(true);
  try {
    await send(file, stopped.signal);
    part("upload-line").textContent = `${file.name} is here, and is checked and converted now: see above.`;
    form.reset();
  } catch (error) {
    if (stopped.signal.aborted) part("upload-line").textContent = "Stopped. Send it again to go on, or cancel it above to begin anew.";
    else fault(error instanceof Refused ? error.message : `${error.message}. What has arrived is kept: press Send to go on.`);
  }
  stopped = null;
  working(false);
}

if (form) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!stopped) begin();
  });
  part("upload-stop").addEventListener("click", () => stopped?.abort());
  addEventListener("beforeunload", (event) => stopped && event.preventDefault());
}
