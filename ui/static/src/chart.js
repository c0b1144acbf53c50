// Draws how long deployments took: a point for each, in the colour of its operating
// system. The same is in the table below it, in numbers.
import uPlot from "uplot";

const colours = ["--accent", "--violet", "--blue", "--green", "--amber", "--red"];

function draw(box) {
  const css = getComputedStyle(document.documentElement);
  const colour = (name) => css.getPropertyValue(name).trim();
  const { at, series } = JSON.parse(box.dataset.chart);
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
  box.replaceChildren();
  new uPlot(
    {
      width: box.clientWidth,
      height: 260,
      cursor: { drag: { x: true, y: false } },
      legend: { live: true },
      axes: [axis, { ...axis, label: "minutes", size: 60 }],
      series: [
        {},
        ...series.map(({ name }, i) => ({
          label: name,
          stroke: colour(colours[i % colours.length]),
          paths: () => null,
          points: { show: true, size: 6, fill: colour(colours[i % colours.length]) },
        })),
      ],
    },
    [at, ...series.map((s) => s.minutes)],
    box,
  );
}

const box = document.querySelector("[data-chart]");
if (box) {
  draw(box);
  let due = 0;
  const again = () => {
    clearTimeout(due);
    due = setTimeout(() => draw(box), 100);
  };
  addEventListener("resize", again);
  addEventListener("theme", again);
}
