// How sure a version is of what it knows (above the line) and of what it does not (below), and the threshold across.

import { draw } from "./dom.js";
import { say } from "./texts.js";

const WIDTH = window.innerWidth < 640 ? 340 : 640; // so that its figures are legible on a phone
const UP = 150;
const DOWN = 96;
const TOP = 26;
const AXIS = 24; // the band between the two, where the percentages stand
const BINS = 50;
const HEIGHT = TOP + UP + AXIS + DOWN;
const x = (share) => WIDTH * share;

/** The plot; `onDrag(threshold)` is told where the line is dragged to. `show` draws it anew. */
export function createPlot(onDrag) {
  const bars = draw("g", {});
  const line = draw("g", { class: "plot-threshold" },
    draw("line", { y1: TOP - 6, y2: HEIGHT }), draw("path", { d: `M-7 ${TOP - 18}h14v8l-7 7l-7-7z` }));
  const svg = draw("svg", { class: "chart plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" }, axis(), bars, line);
  let isDragged = false;
  const move = (event) => {
    const box = svg.getBoundingClientRect();
    onDrag(Math.round(100 * Math.min(1, Math.max(0, (event.clientX - box.left) / box.width))) / 100);
  };
  svg.addEventListener("pointerdown", (event) => {
    isDragged = true;
    svg.setPointerCapture(event.pointerId);
    event.preventDefault();
    move(event);
  });
  svg.addEventListener("pointermove", (event) => isDragged && move(event));
  for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => { isDragged = false; });
  return {
    svg,
    show({ known, unknown, threshold }, words) {
      bars.replaceChildren(...[...knownBars(known), ...unknownBars(unknown)].filter(Boolean));
      this.moveTo(threshold, words);
    },
    moveTo(threshold, words) {
      line.setAttribute("transform", `translate(${x(threshold)} 0)`);
      svg.setAttribute("aria-label", words);
    },
  };
}

function axis() {
  const y = TOP + UP;
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => draw("text", {
    x: x(share), y: y + 16, "text-anchor": share === 0 ? "start" : share === 1 ? "end" : "middle",
  }, `${share * 100}%`));
  const rule = (at) => draw("line", { class: "chart-axis", x1: 0, x2: WIDTH, y1: at, y2: at });
  return draw("g", {}, rule(y), rule(y + AXIS), ...ticks);
}

/** The share of known photos in each of fifty steps of sureness: [right, wrong], from the report's curve. */
export function known(curve) {
  const rightAbove = curve.map(([, named, right]) => named * (right ?? 0));
  return curve.slice(0, -1).map(([, named], place) => {
    const all = named - curve[place + 1][1];
    const right = rightAbove[place] - rightAbove[place + 1];
    return [Math.max(0, right), Math.max(0, all - right)];
  });
}

function knownBars(curve) {
  if (!curve) return [draw("text", { class: "plot-none", x: WIDTH / 2, y: TOP + UP / 2, "text-anchor": "middle" }, say("models_plot_no_known"))];
  const bins = known(curve);
  bins[BINS - 1][0] += curve[BINS][1] * (curve[BINS][2] ?? 0); // those of exactly 100 %
  const most = Math.max(...bins.map(([right, wrong]) => right + wrong), 0.02);
  const height = (share) => (share / most) ** 0.5 * UP; // by the root: a single photo among hundreds is still seen
  return bins.flatMap(([right, wrong], bin) => {
    const whole = height(right + wrong);
    const part = right + wrong > 0 ? whole * (wrong / (right + wrong)) : 0;
    return [bar("plot-known", bin, TOP + UP - whole, whole - part), bar("plot-wrong", bin, TOP + UP - part, part)];
  });
}

function unknownBars(scores) {
  const y = TOP + UP + AXIS;
  if (!scores.length) return [draw("text", { class: "plot-none", x: WIDTH / 2, y: y + DOWN / 2, "text-anchor": "middle" }, say("models_plot_no_unknown"))];
  const counts = Array(BINS).fill(0);
  for (const score of scores) counts[Math.min(BINS - 1, Math.floor(score * BINS))] += 1;
  const most = Math.max(...counts);
  return counts.map((count, bin) => bar("plot-unknown", bin, y, (count / Math.max(most, 4)) ** 0.5 * DOWN));
}

function bar(kind, bin, y, height) {
  if (height <= 0) return null;
  return draw("rect", { class: kind, x: x(bin / BINS) + 1, width: x(1 / BINS) - 2, y, height: Math.max(height, 2) });
}
