// The distances in time on the page, kept moving. They are measured with the
// server's clock: one in a rack without a time server may be hours off.
const skew = Date.parse(document.documentElement.dataset.now) - Date.now();

// ago has the same steps as moment.ago in view.go.
function ago(at) {
  const s = Math.floor((Date.now() + skew - at) / 1000);
  if (s < 5) return "just now";
  if (s < 60) return `${s} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 48 * 3600) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86400)} d ago`;
}

// Making a format costs more than using it a hundred times.
const hour = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });
const dated = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });

// onClock is the time of day, and the day where it was another one. The lines of a log are
// of one day as a rule: they keep their seconds.
function onClock(at, kept) {
  const today = new Date(at).toDateString() === new Date(Date.now() + skew).toDateString();
  return (today || kept === "day" ? hour : dated).format(at);
}

function refresh() {
  for (const time of document.querySelectorAll("time")) {
    const at = Date.parse(time.dateTime);
    const text = "clock" in time.dataset ? onClock(at, time.dataset.clock) : ago(at);
    if (time.textContent !== text) time.textContent = text;
    const local = whole.format(at);
    if (time.title !== local) time.title = local;
  }
}

export function followClock() {
  refresh();
  setInterval(() => document.hidden || refresh(), 5000);
  document.addEventListener("htmx:after:swap", refresh);
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
}
