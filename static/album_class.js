// One thing to tell apart: its names, its photos, how they come in, and what became of each.

import { openCamera } from "./album_camera.js";
import { Grid } from "./album_grid.js";
import { chosenIn } from "./album_intake.js";
import { isLocked, offerUndo } from "./album_selection.js";
import { change, nameOf, namesIn } from "./album_state.js";
import { copyOf, inOther, make } from "./dom.js";
import { photosOf } from "./teach_words.js";
import { say } from "./texts.js";

const GOOD = 10;
const BETTER = 20;

export class ClassSection {
  /** `onFound(found)` gets what is chosen here. */
  constructor(one, uploads, onFound) {
    this.one = one;
    this.uploads = uploads;
    this.element = copyOf("class");
    this.element.id = one.id;
    this.element.dataset.class = one.id;
    this.part("h3").id = `${one.id}-name`;
    this.element.setAttribute("aria-labelledby", `${one.id}-name`);
    this.grid = new Grid(this.part(".grid"), this.part(".thing-all"));
    this.#watchIntake(onFound);
    this.#watchNames();
    this.part(".failures-retry").addEventListener("click", () => uploads.retry(one.id));
    this.part(".failures-hide").addEventListener("click", () => uploads.dismiss(one.id));
  }

  part(selector) {
    return this.element.querySelector(selector);
  }

  #watchIntake(onFound) {
    const files = this.part(".thing-files");
    files.addEventListener("change", () => onFound(chosenIn(files)));
    this.part(".thing-camera").addEventListener("click", () => {
      openCamera(nameOf(this.one), (taken) => this.uploads.add(this.one.id, taken));
    });
  }

  #watchNames() {
    const form = this.part(".thing-form");
    this.part(".thing-rename").addEventListener("click", () => {
      form.elements.label_en.value = this.one.label;
      form.elements.label_zh.value = this.one.label_zh ?? "";
      form.hidden = false;
      form.querySelector("input").focus();
    });
    const end = () => {
      form.hidden = true;
      this.part(".thing-rename").focus();
    };
    form.querySelector(".form-cancel").addEventListener("click", end);
    form.addEventListener("keydown", (event) => {
      if (event.key === "Escape") end();
    });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const { en, zh } = namesIn(form, "label");
      if (await change("PATCH", `/classes/${this.one.id}`, { label: en || zh, label_zh: zh })) end();
    });
    this.part(".thing-delete").addEventListener("click", () => this.#delete());
  }

  async #delete() {
    const photos = this.one.photos.map((photo) => photo.id);
    const words = say("teach_deleted", { name: nameOf(this.one), photos: photosOf(photos.length) });
    if (isLocked() || !(await change("DELETE", `/classes/${this.one.id}`))) return;
    offerUndo(photos, words); // a class comes back with its photos
    document.getElementById("photos-title").focus();
  }

  draw(one) {
    this.one = one;
    const name = nameOf(one);
    const n = one.photos.length;
    this.part("h3").replaceChildren(...[name, inOther(one.label, one.label_zh)].filter(Boolean));
    this.part(".thing-count").textContent = photosOf(n);
    this.part(".thing-enough").textContent = enough(n);
    this.part(".meter-share").setAttribute("width", Math.min(1, n / BETTER) * 100);
    this.element.toggleAttribute("data-enough", n >= GOOD);
    this.part(".thing-empty").hidden = n > 0;
    for (const [selector, words] of [
      [".thing-files", say("teach_choose_of", { name })], [".thing-camera", say("teach_camera_of", { name })],
      [".thing-rename", say("teach_rename_of", { name })], [".thing-delete", say("teach_delete_of", { name })],
      [".grid", say("teach_photos_of", { name })],
    ]) this.part(selector).setAttribute("aria-label", words);
    this.grid.draw(one.photos);
    this.drawUploads();
  }

  drawUploads() {
    const { done, total, already, failures } = this.uploads.of(this.one.id);
    const line = this.part(".progress");
    line.hidden = done === total;
    if (!line.hidden) {
      const words = say("teach_uploading", { done, total });
      line.querySelector("span").textContent = words;
      line.querySelector("progress").value = done / total;
      line.querySelector("progress").setAttribute("aria-label", words);
    }
    const doubles = this.part(".thing-already");
    doubles.hidden = already === 0;
    doubles.textContent = already === 1 ? say("teach_already_one") : say("teach_already", { n: already });
    this.#drawFailures(failures);
  }

  #drawFailures(failures) {
    const box = this.part(".failures");
    box.hidden = failures.length === 0;
    const words = failures.length === 1 ? say("teach_failed_one") : say("teach_failed", { n: failures.length });
    box.querySelector(".trouble").textContent = words;
    box.querySelector(".failures-retry").hidden = !failures.some((failure) => failure.mayPass);
    box.querySelector("ul").replaceChildren(...failures.map(({ file, words: reason }) => make("li", {},
      make("strong", {}, file.name), ` ${reason}`)));
  }
}

/** What a beginner should know of a number of photos. */
function enough(n) {
  if (n < GOOD) return say("teach_enough_not", { more: GOOD - n });
  return n < BETTER ? say("teach_enough_good", { more: BETTER - n }) : say("teach_enough_better");
}
