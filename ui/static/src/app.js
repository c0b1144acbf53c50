import "htmx.org/dist/htmx.esm.js";
import "htmx.org/dist/ext/hx-sse.js";
import Alpine from "@alpinejs/csp";
import { followChoice } from "./choose.js";
import { followClock } from "./clock.js";
import { copyOnClick } from "./copy.js";
import { followInline } from "./inline.js";
import { followKeys } from "./keys.js";
import { followLeft } from "./left.js";
import { followLines } from "./line.js";
import { followNarrowing } from "./narrow.js";
import { followPalette } from "./palette.js";
import { watchLink } from "./link.js";
import { closePops } from "./pop.js";
import { orderWhatIsSeen } from "./seen.js";
import { fillFromLink } from "./setup.js";
import { followLog } from "./tail.js";
import { forgetTold } from "./told.js";
import { showWhole } from "./whole.js";

const choices = ["system", "light", "dark"];

// theme is the button that goes round the three themes.
Alpine.data("theme", () => ({
  choice: document.documentElement.dataset.choice,
  init() {
    addEventListener("theme", () => (this.choice = document.documentElement.dataset.choice));
  },
  get label() {
    return "Theme: " + this.choice;
  },
  next() {
    choose(choices[(choices.indexOf(this.choice) + 1) % choices.length]);
  },
}));

function choose(theme) {
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // storage is blocked: the choice cannot be kept
  }
  dispatchEvent(new Event("theme"));
}

// chooseTheme is the choice of the settings.
function chooseTheme() {
  const select = document.querySelector("[data-theme-choice]");
  if (!select) return;
  const show = () => (select.value = document.documentElement.dataset.choice);
  show();
  addEventListener("theme", show);
  select.addEventListener("change", () => choose(select.value));
}

forgetTold();
watchLink(Alpine);
copyOnClick();
followClock();
followInline();
followKeys();
followChoice();
followLeft();
followNarrowing();
followLines();
followPalette();
followLog();
closePops();
orderWhatIsSeen();
showWhole();
fillFromLink();
chooseTheme();
Alpine.start();

// On a phone neither the places nor the tabs all fit: the one that the page is of is
// brought into view.
for (const here of document.querySelectorAll(".places [aria-current], .tabs [aria-current]")) here.scrollIntoView({ block: "nearest", inline: "nearest" });
