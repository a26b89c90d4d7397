// "Where did it look?": what in the photo speaks for each name, laid over the photo, and told in words.

import { ask } from "./ask.js";
import { nameOf, percent } from "./decision.js";
import { Failure } from "./failure.js";
import { currentLanguage, relabel, say, sayError } from "./texts.js";

const LONG_SIDE = 640; // of the overlay, in its own pixels
const FINER = 12; // pixels of the overlay for a cell of the map, each way, before the browser scales it
const FROM = 0.4; // up to here a place is left or upper,
const TO = 0.6; // and from here right or lower
const WIDELY = 0.45; // with so much of the photo above half of the strongest, no one place is meant
const PLACES = [
  ["look_upper_left", "look_upper", "look_upper_right"],
  ["look_left", "look_middle", "look_right"],
  ["look_lower_left", "look_lower", "look_lower_right"],
];
// Ink where nothing speaks for the name, to the glow of the seal where most does: red, green, blue, opacity.
const SCALE = [[16, 12, 10, 0.74], [74, 24, 14, 0.66], [176, 52, 28, 0.5], [255, 122, 84, 0.42], [255, 190, 150, 0.4]];

const template = document.getElementById("look");
let nextNumber = 0;

export class Look {
  answer = null; // the card's answer that was asked about
  explained = null; // the server's answer with its maps
  failure = null;
  chosen = 0;
  controller = null;

  /** `picture()` promises what to send of the card's photo; `enqueue` is the page's queue. */
  constructor(card, picture, enqueue) {
    Object.assign(this, { card, picture, enqueue });
    this.button = card.part(".where");
    this.panel = card.part(".look");
    this.panel.append(template.content.cloneNode(true));
    relabel(this.panel);
    this.canvas = Object.assign(document.createElement("canvas"), { className: "heat" });
    this.canvas.setAttribute("aria-hidden", "true");
    this.number = nextNumber += 1;
    const fade = this.part("[type=range]");
    this.part("label").htmlFor = fade.id = `look-fade-${this.number}`;
    fade.addEventListener("input", () => this.fade());
    this.part(".hide").addEventListener("click", () => this.close());
    this.fade();
  }

  part(selector) {
    return this.panel.querySelector(selector);
  }

  toggle() {
    if (this.panel.hidden) this.open();
    else this.close();
  }

  open() {
    this.panel.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    if (this.answer !== this.card.answer || this.failure) this.ask();
    this.draw();
    this.card.part(".photo").scrollIntoView({ block: "nearest" });
    this.focus();
  }

  close() {
    this.shut();
    this.button.focus();
  }

  shut() {
    this.controller?.abort();
    if (!this.explained) this.answer = null; // given up: the next time it is asked again
    this.panel.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
    this.canvas.remove();
  }

  focus() {
    (this.part("[name]:checked") ?? this.part(".hide")).focus({ preventScroll: true });
  }

  ask() {
    this.controller?.abort();
    this.controller = new AbortController();
    Object.assign(this, { answer: this.card.answer, explained: null, failure: null, chosen: 0 });
    const { signal } = this.controller;
    this.enqueue(async () => {
      try {
        signal.throwIfAborted();
        const wish = { mode: this.answer.mode, top_k: this.answer.results[0].top.length, lang: currentLanguage(), explain: 1 };
        this.explained = await ask(await this.picture(), wish, signal, () => {});
      } catch (error) {
        if (signal.aborted) return;
        this.failure = error instanceof Failure ? error : new Failure({ key: "unreachable" });
      }
      const hadFocus = this.panel.contains(document.activeElement);
      this.draw();
      if (hadFocus) this.focus();
    });
  }

  /** As things are now; an answer about something else than what was asked shuts it. */
  draw() {
    if (this.panel.hidden) return;
    if (this.answer !== this.card.answer) {
      this.shut();
      return;
    }
    for (const selector of ["fieldset", ".look-fade"]) this.part(selector).hidden = !this.explained;
    this.part(".look-said").textContent = this.sentence();
    if (!this.explained) return;
    this.drawNames();
    this.drawHeat();
  }

  get result() {
    return this.explained.results[0];
  }

  sentence() {
    if (this.failure) return sayError(this.failure.code, this.failure.words) ?? say(this.failure.key);
    if (!this.explained) return say("look_asking");
    const { region, maps } = this.result.explanation;
    const name = nameOf(this.result.top[this.chosen], currentLanguage());
    const sentences = [wordsFor(maps[this.chosen].rows, region, name)];
    if (region.width < 1 || region.height < 1) sentences.push(say("look_frame"));
    return sentences.join(currentLanguage() === "zh" ? "" : " ");
  }

  drawNames() {
    const list = this.part(".look-names");
    const names = this.result.top.map((entry) => nameOf(entry, currentLanguage()));
    if (list.children.length !== names.length) {
      list.replaceChildren(...names.map((_, place) => this.radio(place)));
    }
    names.forEach((name, place) => { list.children[place].lastElementChild.textContent = name; });
  }

  radio(place) {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), {
      type: "radio", name: `look-${this.number}`, checked: place === this.chosen,
    });
    input.addEventListener("change", () => {
      this.chosen = place;
      this.draw();
    });
    label.append(input, document.createElement("span"));
    return label;
  }

  drawHeat() {
    if (this.card.part("img").hidden) return; // nothing to lay it over: the words tell
    const { image, explanation: { region, maps } } = this.result;
    const scale = LONG_SIDE / Math.max(image.width, image.height);
    this.canvas.width = Math.max(1, Math.round(image.width * scale));
    this.canvas.height = Math.max(1, Math.round(image.height * scale));
    paint(this.canvas, maps[this.chosen].rows, region);
    this.card.part(".photo").append(this.canvas);
  }

  fade() {
    const slider = this.part("[type=range]");
    const strength = Number(slider.value);
    this.canvas.style.opacity = strength;
    slider.setAttribute("aria-valuetext", percent(strength));
    slider.parentElement.style.setProperty("--value", strength);
  }
}

/** The map over its region, smooth; ink over what the network did not see, and a frame around what it did. */
function paint(canvas, rows, region) {
  const context = canvas.getContext("2d");
  const [left, top] = [region.x * canvas.width, region.y * canvas.height];
  const [width, height] = [region.width * canvas.width, region.height * canvas.height];
  context.fillStyle = `rgb(${SCALE[0].slice(0, 3).join(" ")} / ${SCALE[0][3]})`;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.clearRect(left, top, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(coloured(rows), left, top, width, height);
  if (region.width === 1 && region.height === 1) return;
  context.strokeStyle = "rgb(255 253 248 / .8)";
  context.lineWidth = 2;
  context.strokeRect(left + 1, top + 1, width - 2, height - 2);
}

/** The map with several pixels for each of its cells: smoothed as numbers, and coloured only then. */
function coloured(rows) {
  const size = rows.length * FINER;
  const place = (pixel) => (pixel + 0.5) / FINER - 0.5;
  const values = Float32Array.from({ length: size * size }, (_, pixel) =>
    valueAt(rows, place(pixel % size), place(Math.floor(pixel / size))));
  const most = values.reduce((one, other) => Math.max(one, other), 1); // smoothing wears peaks down
  const picture = new ImageData(size, size);
  values.forEach((value, pixel) => picture.data.set(colourOf(value / most), 4 * pixel));
  const canvas = Object.assign(document.createElement("canvas"), { width: size, height: size });
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}

// A cubic B-spline through neither cell nor edge: no ridges, no overshoot.
function valueAt(rows, x, y) {
  let sum = 0;
  for (let j = Math.floor(y) - 1; j <= Math.floor(y) + 2; j += 1) {
    for (let i = Math.floor(x) - 1; i <= Math.floor(x) + 2; i += 1) {
      sum += spline(x - i) * spline(y - j) * rows[within(j, rows.length)][within(i, rows.length)];
    }
  }
  return sum;
}

const within = (index, count) => Math.min(Math.max(index, 0), count - 1);

function spline(distance) {
  const t = Math.abs(distance);
  if (t < 1) return (4 - 6 * t * t + 3 * t ** 3) / 6;
  return t < 2 ? (2 - t) ** 3 / 6 : 0;
}

function colourOf(value) {
  const place = value * (SCALE.length - 1);
  const [from, to] = [SCALE[Math.floor(place)], SCALE[Math.ceil(place)]];
  const [red, green, blue, opacity] = from.map((part, index) => part + (to[index] - part) * (place % 1));
  return [red, green, blue, opacity * 255];
}

/** Where a map lies in the whole photo, as a sentence. */
export function wordsFor(rows, region, name) {
  let [mass, across, down, strong] = [0, 0, 0, 0];
  rows.forEach((row, j) => row.forEach((value, i) => {
    const weight = value * value;
    mass += weight;
    across += weight * (region.x + region.width * (i + 0.5) / row.length);
    down += weight * (region.y + region.height * (j + 0.5) / rows.length);
    strong += value > 127 ? 1 : 0;
  }));
  if (mass === 0) return say("look_nowhere", { name });
  const share = strong / (rows.length * rows[0].length) * region.width * region.height;
  if (share > WIDELY) return say("look_everywhere", { name });
  const third = (centre) => (centre < FROM ? 0 : centre > TO ? 2 : 1);
  return say("look_place", { name, place: say(PLACES[third(down / mass)][third(across / mass)]) });
}
