// How far each mode is from a training that is worth it, the training itself, and what came of it.

import { api, wordsOf } from "./api.js";
import { JobView } from "./job_view.js";
import { currentLanguage, say } from "./texts.js";
import { decisionOf, explain } from "./verdict.js";

const OBSTACLES = { base: "review_base", gone: "review_gone", no_photos: "review_no_photos" };

/** The modes' rows; `onEnd()` is told when a training has ended. */
export class Trainings {
  rows = new Map();

  constructor(section, onEnd) {
    Object.assign(this, { section, onEnd, list: section.querySelector("ul") });
  }

  draw({ modes, worth_it: enough }) {
    for (const mode of modes) {
      if (!this.rows.has(mode.mode)) {
        const row = new Training(this.onEnd);
        this.rows.set(mode.mode, row);
        this.list.append(row.element);
      }
      this.rows.get(mode.mode).draw(mode, enough);
    }
    const known = new Set(modes.map((mode) => mode.mode));
    for (const [key, row] of this.rows) row.element.hidden = !known.has(key) && !row.isRunning;
    this.section.hidden = modes.length === 0;
  }
}

class Training {
  isRunning = false;
  seen = null; // the job that is followed, or whose outcome is told

  constructor(onEnd) {
    this.onEnd = onEnd;
    this.element = document.getElementById("training").content.firstElementChild.cloneNode(true);
    this.button = this.part("button");
    this.button.addEventListener("click", () => this.begin());
    this.view = new JobView(this.part(".training-job"), {
      onEnd: (job) => this.end(job),
      onFailure: () => this.settle(),
    });
  }

  part(selector) {
    return this.element.querySelector(selector);
  }

  draw(mode, enough) {
    Object.assign(this, { mode, enough });
    const title = mode.title[currentLanguage()];
    const canLearn = mode.obstacle === null;
    this.part("h3").textContent = title;
    const bar = this.part("progress");
    bar.hidden = !canLearn;
    [bar.max, bar.value] = [enough, Math.min(mode.new, enough)];
    bar.setAttribute("aria-label", title);
    this.part(".training-count").textContent = canLearn ? this.counted() : "";
    this.drawObstacle(mode.obstacle);
    this.drawButton(canLearn);
    if (mode.job && mode.job !== this.seen && !this.isRunning) this.recall(mode.job);
  }

  counted() {
    const values = { count: this.mode.new, enough: this.enough, version: this.mode.version };
    return say(this.mode.new < this.enough ? "review_count" : "review_count_enough", values);
  }

  drawObstacle(obstacle) {
    const host = this.part(".training-why");
    host.hidden = obstacle === null;
    if (obstacle === null) return;
    host.textContent = say(OBSTACLES[obstacle]);
    if (obstacle !== "gone") host.append(" ", link("/teach", say("review_teach")));
  }

  drawButton(canLearn) {
    const isWorthIt = this.mode.new >= this.enough;
    this.button.hidden = !canLearn || this.isRunning || this.mode.new === 0;
    this.button.className = isWorthIt ? "button button-main" : "link";
    this.button.textContent = isWorthIt ? say("review_train") : say("review_train_early");
  }

  async begin() {
    const trouble = this.part(".trouble");
    trouble.textContent = "";
    this.button.disabled = true;
    try {
      const job = await api("POST", `/api/modes/${this.mode.mode}/retrain`, {});
      this.follow(job.id);
    } catch (error) {
      trouble.textContent = wordsOf(error);
    } finally {
      this.button.disabled = false;
    }
  }

  follow(id) {
    Object.assign(this, { isRunning: true, seen: id });
    this.part(".training-outcome").replaceChildren();
    this.button.hidden = true;
    this.view.follow(id);
  }

  /** The newest training that the server remembers: it may run still, or have made the newest version. */
  async recall(id) {
    this.seen = id;
    const job = await api("GET", `/api/jobs/${id}`).catch(() => null);
    if (job?.state === "running") this.follow(id);
    else if (job?.result?.candidate === this.mode.version) this.tell(job);
  }

  end(job) {
    if (job.state === "done") this.part(".training-job").replaceChildren();
    this.tell(job);
    this.settle();
  }

  settle() {
    this.isRunning = false;
    this.onEnd();
  }

  tell(job) {
    if (!job.result?.verdict) return;
    const [first, ...others] = [...decisionOf(job.result), ...explain(job.result), ...learned(job.result)];
    const head = Object.assign(document.createElement("p"), { className: "training-decided", textContent: first });
    const rest = Object.assign(document.createElement("p"), { textContent: others.join(currentLanguage() === "zh" ? "" : " ") });
    this.part(".training-outcome").replaceChildren(head, rest, link(`/models/${job.mode}`, say("review_look_closer")));
  }
}

const link = (href, textContent) => Object.assign(document.createElement("a"), { href, textContent });

/** What a retraining had to learn from. */
function learned({ photos, new_classes: classes }) {
  const [begun, few] = [Object.keys(classes.begun), Object.keys(classes.too_few)];
  return [
    say("review_got_learned", { corrected: photos.corrected, photos: photos.train + photos.validation + photos.test }),
    begun.length > 0 ? say("review_got_begun", { names: listed(begun) }) : "",
    few.length > 0 ? say("review_got_too_few", { names: listed(few) }) : "",
    photos.gone > 0 ? say("review_got_gone", { count: photos.gone }) : "",
  ].filter(Boolean);
}

const listed = (names) => names.join(say("review_got_and"));
