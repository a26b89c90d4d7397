// The page `review`: its tabs, its modes, its keys, and what stands around the queue.

import { api, wordsOf } from "./api.js";
import { learnLabels } from "./review_labels.js";
import { Queue } from "./review_queue.js";
import { Trainings } from "./review_training.js";
import { currentLanguage, say } from "./texts.js";

const KEYS = { a: "accept", Enter: "accept", r: "relabel", x: "reject", Delete: "reject", Backspace: "reject" };

const byId = (id) => document.getElementById(id);
const [notice, did, moreLine, undoButton, keys] = ["notice", "did", "more-line", "undo", "keys"].map(byId);
const tabs = [...document.querySelectorAll(".tab")];

let counts = { modes: [] };
let isCounting = false;
let isStale = false;

const queue = new Queue(byId("entries"), {
  titleOf: (mode) => (counts.modes.length > 1 ? titleOf(mode) : ""),
  onDraw: draw,
  onDecided: count,
  onSaid: (words) => { did.textContent = words; },
  onError: tell,
});
const trainings = new Trainings(byId("trainings"), count);
const atTheEnd = new IntersectionObserver(
  (seen) => seen.some((one) => one.isIntersecting) && loadMore(), { rootMargin: "400px" },
);

const titleOf = (key) => counts.modes.find((one) => one.mode === key)?.title[currentLanguage()] ?? key;

/** Ask how many there are; decisions in quick succession ask once more in all. */
async function count() {
  isStale = true;
  if (isCounting) return;
  isCounting = true;
  try {
    while (isStale) {
      isStale = false;
      counts = await api("GET", "/api/corrections/counts");
    }
    tell(null);
    trainings.draw(counts);
    draw();
  } catch (error) {
    tell(error);
  } finally {
    isCounting = false;
  }
}

async function show(status, mode) {
  await queue.show(status, mode);
  watchTheEnd();
}

async function loadMore() {
  const before = queue.grid.cards.length;
  await queue.loadMore();
  if (queue.grid.cards.length > before) watchTheEnd();
}

/** Once more, for an end that is still in sight is no news to the observer. */
function watchTheEnd() {
  atTheEnd.unobserve(moreLine);
  atTheEnd.observe(moreLine);
}

function draw() {
  const shown = counts.modes.filter((one) => !queue.mode || one.mode === queue.mode);
  for (const tab of tabs) {
    const { status } = tab.dataset;
    tab.setAttribute("aria-pressed", status === queue.status);
    tab.querySelector(".tab-count").textContent = shown.reduce((sum, one) => sum + one[status], 0);
  }
  byId("queue-head").hidden = counts.modes.length === 0;
  drawChips();
  byId("loading").hidden = !queue.isLoading || queue.grid.cards.length > 0;
  moreLine.hidden = queue.after === null || queue.grid.cards.length === 0;
  byId("nothing").hidden = !queue.isEmpty || counts.modes.length > 0;
  byId("done").hidden = !queue.isEmpty || counts.modes.length === 0;
  const words = { pending: say("review_done"), accepted: say("review_none_accepted"), rejected: say("review_none_rejected") };
  byId("done-words").textContent = words[queue.status];
  undoButton.hidden = !queue.decisions.canUndo;
}

function drawChips() {
  const host = byId("modes");
  const wanted = ["", ...counts.modes.map((one) => one.mode)];
  host.hidden = wanted.length < 3;
  if (host.children.length !== wanted.length) host.replaceChildren(...wanted.map(chip));
  for (const button of host.children) button.setAttribute("aria-pressed", button.dataset.mode === queue.mode);
}

function chip(mode) {
  const button = Object.assign(document.createElement("button"), { type: "button", className: "chip" });
  button.dataset.mode = mode;
  button.textContent = mode ? titleOf(mode) : say("review_all");
  button.addEventListener("click", () => show(queue.status, mode));
  return button;
}

/** Say what went wrong, or that nothing does; whoever was logged out is shown the way in. */
function tell(error) {
  notice.textContent = error ? wordsOf(error) : "";
  if (error?.code !== "forbidden") return;
  notice.append(" ", Object.assign(document.createElement("a"), { href: "/login?next=/review", textContent: say("review_log_in") }));
}

/** Do what a key means; whether it means anything here. */
function press({ key, target, repeat }) {
  const name = key.length === 1 ? key.toLowerCase() : key;
  if (name === "u") queue.undo();
  else if (name === "?") keys.showModal();
  else if (!target.closest(".entry")) return false;
  else if (queue.grid.move(name)) return true;
  else if (!(name in KEYS) || (name === "Enter" && target.matches("button"))) return false;
  else if (!repeat) pressOn(queue.grid.current, KEYS[name]);
  return true;
}

function pressOn(card, action) {
  if (card.entry.status === "pending") queue.act(card, action);
  else if (action === "accept" && card.entry.status !== "gone") queue.act(card, "undo");
}

byId("queue").addEventListener("keydown", (event) => {
  const isCommand = event.ctrlKey || event.metaKey;
  if (event.isComposing || event.altKey || event.target.matches("input")) return;
  if (isCommand && event.key.toLowerCase() === "z") queue.undo();
  else if (isCommand || !press(event)) return;
  event.preventDefault();
});
for (const tab of tabs) tab.addEventListener("click", () => show(tab.dataset.status, queue.mode));
undoButton.addEventListener("click", () => queue.undo());
byId("show-keys").addEventListener("click", () => keys.showModal());
byId("more").addEventListener("click", loadMore);

await Promise.all([learnLabels(), count()]);
await show("pending", "");
const hasKeys = !matchMedia("(pointer: coarse)").matches;
if (hasKeys && document.activeElement === document.body) queue.grid.current?.cell.focus({ preventScroll: true });
