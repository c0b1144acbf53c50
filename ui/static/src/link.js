// Watches the stream of live updates: says when it is lost, and sees to it that
// it comes back. Alive is what was heard from the server, not what is connected:
// a cable that is pulled closes nothing.
const silence = 40_000; // two heartbeats and a half
const grace = 2_000; // a break shorter than this is not worth a word

export function watchLink(Alpine) {
  Alpine.store("link", { lost: false, heard: false, since: "", word: "Connecting" });
  const link = Alpine.store("link");
  const stream = () => document.getElementById("live"); // a list with another filter has another
  if (!stream()) return watchPolls(link);
  let last = Date.now();
  let broken = 0; // since when
  let connection = null;

  const heard = (event) => {
    connection = event.detail.connection;
    last = Date.now();
    broken = 0;
    Object.assign(link, { lost: false, heard: true, word: "Live" });
  };
  const broke = () => {
    broken ||= Date.now();
  };
  document.addEventListener("htmx:sse:before:message", heard);
  document.addEventListener("htmx:sse:before:connection", (event) => event.detail.connection.attempt > 0 && broke());
  for (const name of ["htmx:sse:error", "htmx:sse:close", "htmx:error", "htmx:response:error"]) {
    document.addEventListener(name, (event) => event.target === stream() && broke());
  }
  document.addEventListener("visibilitychange", () => {
    last = Date.now(); // a hidden page lets go of the stream on purpose
    broken = 0;
  });

  let seconds = 0;
  setInterval(() => {
    if (document.hidden) return;
    seconds++;
    const now = Date.now();
    const silent = now - last > silence;
    if (silent && !broken) connection?.reader?.cancel(); // half open: connect anew
    if (!silent && (!broken || now - broken < grace)) return;
    Object.assign(link, { lost: true, since: clock(last), word: "Retrying" });
    if (seconds % 5 === 0) stream().dispatchEvent(new Event("retry")); // no-op while it is connecting
  }, 1000);
}

function clock(at) {
  return new Date(at).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

// watchPolls does the same for a page of which a part is read again and again. Each
// read is a try.
function watchPolls(link) {
  const polled = (event) => event.target.matches?.('[hx-trigger^="every"]');
  let last = Date.now();
  document.addEventListener("htmx:after:request", (event) => {
    if (!polled(event) || !event.detail.ctx.response?.raw.ok) return;
    last = Date.now();
    link.lost = false;
  });
  for (const name of ["htmx:error", "htmx:response:error"]) {
    document.addEventListener(name, (event) => polled(event) && Object.assign(link, { lost: true, since: clock(last) }));
  }
}
