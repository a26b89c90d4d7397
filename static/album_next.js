// On a phone the one next thing to do waits at the thumb.

import { album, nameOf } from "./album_state.js";
import { isTraining } from "./album_train.js";
import { say } from "./texts.js";

const GOOD = 10;
const FEWEST = 2;
const host = document.getElementById("bar-next");
const button = document.getElementById("next");
let step = null;

export function watchNext() {
  button.addEventListener("click", () => {
    const target = document.querySelector(step.target);
    target.scrollIntoView({ block: "center" });
    target.focus({ preventScroll: true });
    if (step.isPressed) target.click();
  });
}

export function drawNext(isUploading) {
  step = next(isUploading);
  const stage = step && document.querySelector(step.target).closest(".stage");
  for (const other of document.querySelectorAll(".stage")) other.toggleAttribute("data-now", other === stage);
  host.hidden = step === null;
  if (step) button.textContent = step.words;
}

function next(isUploading) {
  const poorest = album.classes.toSorted((one, other) => one.photos.length - other.photos.length)[0];
  const train = document.getElementById("train");
  if (album.classes.length === 0) return { words: say("teach_next_first"), target: "#add input" };
  if (isTraining()) return { words: say("teach_next_watch"), target: "#training-title" };
  if (album.classes.length < FEWEST) return { words: say("teach_next_second"), target: "#add input" };
  if (poorest.photos.length < GOOD && !isUploading && album.versions.length === 0) {
    return { words: say("teach_camera_of", { name: nameOf(poorest) }), target: `#${poorest.id} .thing-camera`, isPressed: true };
  }
  const isWaiting = album.versions.length > 0 && album.versions.at(-1) !== album.active;
  if (isWaiting) return { words: say("teach_stage_service"), target: "#service-title" };
  if (album.versions.length > 0) return { words: say("teach_next_try"), target: "#result-title" };
  if (isUploading || train.disabled) return null;
  return { words: say("teach_train"), target: "#train", isPressed: true };
}
