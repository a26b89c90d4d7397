// The chosen photos: moved to another class, removed, brought back.

import { album, change, complain, nameOf, onAlbum } from "./album_state.js";
import { isTraining } from "./album_train.js";
import { announce, make } from "./dom.js";
import { photosOf } from "./teach_words.js";
import { say } from "./texts.js";

const bar = document.getElementById("bar-selection");
const moveTo = document.getElementById("move-to");
const undoBar = document.getElementById("bar-undo");
const chosen = new Set();
let removed = [];
let redraw = () => {};

export const isSelected = (id) => chosen.has(id);
export const selected = () => [...chosen];

/** Choose photos, or no more; `alone`: and no others. */
export function select(ids, isOn, alone = false) {
  if (alone) chosen.clear();
  for (const id of ids) {
    if (isOn) chosen.add(id);
    else chosen.delete(id);
  }
  drawAll();
}

/** `onChange` draws the thumbnails anew. */
export function watchSelection(onChange) {
  redraw = onChange;
  onAlbum(() => {
    const there = new Set(album.classes.flatMap((one) => one.photos.map((photo) => photo.id)));
    for (const id of chosen) if (!there.has(id)) chosen.delete(id);
    drawBar();
  });
  document.getElementById("move").addEventListener("click", () => movePhotos(selected(), moveTo.value));
  document.getElementById("remove").addEventListener("click", () => removePhotos(selected()));
  document.getElementById("unselect").addEventListener("click", () => select([], true, true));
  document.getElementById("undo").addEventListener("click", restore);
  document.getElementById("undo-hide").addEventListener("click", () => hideUndo());
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && chosen.size > 0 && !document.querySelector("dialog[open]")) select([], true, true);
  });
}

/** Whether a training reads the photos, which must stay where they are until it has ended; then that is said. */
export function isLocked() {
  if (isTraining()) complain(say("teach_wait_training"));
  return isTraining();
}

export async function movePhotos(photos, to) {
  if (isLocked() || !(await change("POST", "/photos/move", { photos, to }))) return;
  const name = nameOf(album.classes.find((one) => one.id === to));
  announce(say("teach_moved", { photos: photosOf(photos.length), name }));
  select([], true, true);
}

export async function removePhotos(photos) {
  if (isLocked() || !(await change("POST", "/photos/remove", { photos }))) return;
  offerUndo(photos, say("teach_removed", { photos: photosOf(photos.length) }));
  if (document.activeElement === document.body) document.getElementById("undo").focus();
}

/** Say that photos have been taken away, and offer to bring them back. */
export function offerUndo(photos, words) {
  removed = photos;
  undoBar.hidden = false;
  undoBar.querySelector(".bar-words").textContent = words;
  document.getElementById("undo").hidden = photos.length === 0;
}

async function restore() {
  if (!(await change("POST", "/photos/restore", { photos: removed }))) return;
  announce(say("teach_restored", { photos: photosOf(removed.length) }));
  const first = document.getElementById(`photo-${removed[0]}`);
  hideUndo();
  first?.focus();
}

function hideUndo() {
  undoBar.hidden = true;
  removed = [];
}

function drawAll() {
  drawBar();
  redraw();
}

function drawBar() {
  bar.hidden = chosen.size === 0;
  if (bar.hidden) return;
  const isElsewhere = (one) => !selected().every((id) => one.photos.some((photo) => photo.id === id));
  const wish = moveTo.value;
  moveTo.replaceChildren(...album.classes.filter(isElsewhere).map((one) => make("option", { value: one.id }, nameOf(one))));
  if ([...moveTo.options].some((option) => option.value === wish)) moveTo.value = wish;
  bar.querySelector(".bar-move").hidden = moveTo.options.length === 0;
  bar.querySelector(".bar-words").textContent = say("teach_selected", { n: chosen.size });
}
