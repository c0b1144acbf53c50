// Sets the theme before the first paint, so that a dark page never flashes
// white. It is a file of its own because the script proper is deferred.
const root = document.documentElement;
const night = matchMedia("(prefers-color-scheme: dark)");

function paint() {
  let choice = "system";
  try {
    choice = localStorage.getItem("theme") || choice;
  } catch {
    // storage is blocked: follow the system
  }
  root.dataset.choice = choice;
  root.dataset.bsTheme = choice === "dark" || (choice === "system" && night.matches) ? "dark" : "light";
}

root.classList.add("js");
night.addEventListener("change", paint);
addEventListener("theme", paint);
paint();
