// What a job does, for the person who waits for it.

import { api, wordsOf } from "./api.js";
import { Curves } from "./curves.js";
import { followJob } from "./job.js";
import { currentLanguage, say } from "./texts.js";

const SPOKEN_EVERY_MS = 5000;
const DRAWN_EVERY_MS = 120;
/** The parts of the work, as the commands name them, in a beginner's words. */
const PARTS = [
  [/^examining photos$/, "job_examining"],
  [/^head again: epochs$/, "job_learning_again"],
  [/^head: epochs$/, "job_learning"],
  [/: epochs$/, "job_refining"],
  [/train: features$/, "job_reading"],
  [/: features$/, "job_reading_judges"],
  [/^writing the report$/, "job_report"],
  [/^comparing versions$/, "job_comparing"],
];
const COUNTED = { epochs: "job_rounds", photos: "job_photos" };

/** Draws the job that it follows into `host`, and lets it be cancelled. `onEnd(job)`: told of its end, however it ended;
 *  `onFailure(error)`: it can be followed no longer, which the view says, too. */
export class JobView {
  constructor(host, { onEnd = () => {}, onFailure = () => {} } = {}) {
    Object.assign(this, { host, onEnd, onFailure, follower: null, clock: null });
  }

  /** Show the job `id` from its beginning. */
  follow(id) {
    this.stop();
    this.id = id;
    this.started = null;
    this.part = { name: "", length: 0, done: 0, since: null };
    this.epochs = [];
    this.breaks = [];
    this.said = [];
    this.lastSpoken = 0;
    this.build();
    this.showPart();
    this.clock = setInterval(() => this.showTime(), 1000);
    api("GET", `/api/jobs/${id}`).then((job) => { this.started = Date.parse(job.started); }, () => {});
    this.follower = followJob(id, {
      onEvent: (event) => this.take(event),
      onEnd: (job) => this.end(job),
      onConnection: (isThere) => { this.notice.textContent = isThere ? "" : say("job_connection_lost"); },
      onFailure: (error) => {
        this.close(wordsOf(error));
        this.onFailure(error);
      },
    });
  }

  /** Let go of it; the job itself goes on. */
  stop() {
    this.follower?.stop();
    clearInterval(this.clock);
    cancelAnimationFrame(this.frame);
    clearTimeout(this.drawing);
    this.drawing = null;
  }

  take(event) {
    if (event.event === "part") {
      this.part = { name: event.name, length: event.length, done: 0, since: null };
    } else if (event.event === "step") {
      this.part.done = Math.max(this.part.done, event.done);
      this.part.since ??= { at: performance.now(), done: this.part.done };
    } else if (event.event === "epoch") {
      if (event.stage !== this.epochs.at(-1)?.stage || event.epoch <= this.epochs.at(-1).epoch) this.breaks.push(this.epochs.length);
      this.epochs.push(event);
    } else if (event.event === "say") {
      this.said.push(event);
    }
    this.drawing ??= setTimeout(() => this.draw(), DRAWN_EVERY_MS); // events may come by the hundred, after a reload
  }

  draw() {
    this.drawing = null;
    this.showPart();
    this.showCurves();
    this.showSaid();
    this.speak();
  }

  end(job) {
    this.draw();
    const words = { done: say("job_done"), cancelled: say("job_cancelled"), failed: say("job_failed") };
    this.close(words[job.state] ?? "", job.state === "failed" ? job.error : null);
    this.onEnd(job);
  }

  /** Nothing moves any more: what is left is a sentence, what was said, and the curves. */
  close(words, error = null) {
    this.stop();
    this.notice.textContent = "";
    this.status.textContent = "";
    this.running.hidden = true;
    this.outcome.textContent = words;
    if (!error) return;
    const detail = make("p", "quiet", error); // the command's own sentence, which is in English
    detail.lang = "en";
    this.outcome.after(detail);
  }

  build() {
    this.now = make("p", "job-now");
    this.time = make("p", "job-time quiet");
    this.bar = make("progress", "job-bar");
    this.count = make("p", "job-count quiet");
    this.notice = make("p", "notice");
    this.notice.setAttribute("role", "status");
    this.status = make("p", "unseen");
    this.status.setAttribute("role", "status");
    this.outcome = make("p", "job-outcome");
    this.outcome.setAttribute("role", "status");
    this.cancelling = make("div", "actions job-actions");
    this.offerCancel();
    this.running = make("div", "job-running");
    const above = make("div", "line");
    above.append(this.now, this.time);
    const below = make("div", "line job-below");
    below.append(this.count, this.cancelling);
    this.running.append(above, this.bar, below, this.notice, this.status);
    this.charts = make("div", "job-charts");
    this.charts.hidden = true;
    this.loss = this.chart("job_loss", { top: niceTop, label: (value) => String(Number(value.toPrecision(2))) }, true);
    this.accuracy = this.chart("job_accuracy", { top: () => 1, label: percent }, false);
    this.notes = make("details", "job-notes");
    this.notes.hidden = true;
    this.summary = make("summary");
    this.list = make("ul");
    this.notes.append(this.summary, this.list);
    const whole = make("section", "job");
    whole.setAttribute("aria-label", say("job_title"));
    whole.append(this.outcome, this.running, this.charts, this.notes);
    this.host.replaceChildren(whole);
  }

  chart(key, axis, hasTwo) {
    const figure = make("figure", "job-chart");
    const caption = make("figcaption");
    caption.append(make("span", "", say(key)));
    if (hasTwo) caption.append(make("span", "job-key", say("job_key_training")));
    caption.append(make("span", "job-key job-key-second", say("job_key_validation")));
    figure.append(caption);
    this.charts.append(figure);
    return new Curves(figure, { ...axis, first: () => say("job_first_round") });
  }

  showPart() {
    const { name, length, done } = this.part;
    const title = name ? say(PARTS.find(([pattern]) => pattern.test(name))?.[1] ?? "job_working") : say("job_beginning");
    if (this.now.textContent !== title) this.now.textContent = title;
    this.bar.setAttribute("aria-label", title);
    if (length > 0) {
      this.bar.max = length;
      this.bar.value = Math.min(done, length);
    } else {
      this.bar.removeAttribute("value");
    }
    this.count.textContent = this.counted();
    this.showTime();
  }

  counted() {
    const { name, length, done } = this.part;
    if (!length || name === "writing the report") return "";
    return say(name.endsWith(": epochs") ? COUNTED.epochs : COUNTED.photos, { done: Math.min(done, length), length });
  }

  showTime() {
    const { since, done, length } = this.part;
    const passed = this.started ? say("job_passed", { time: clock(Date.now() - this.started) }) : "";
    const seconds = since ? (performance.now() - since.at) / 1000 : 0;
    const rate = since && seconds > 2 ? (done - since.done) / seconds : 0;
    const left = rate > 0 && done < length ? say("job_left", { time: clock(((length - done) / rate) * 1000) }) : "";
    this.time.textContent = [passed, left].filter(Boolean).join(" · ");
  }

  showCurves() {
    if (this.epochs.length === 0) return;
    this.charts.hidden = false;
    const values = (key) => this.epochs.map((one) => one[key] ?? null);
    const validation = { className: "chart-second" };
    this.loss.show(
      [{ className: "", values: values("train_loss") }, { ...validation, values: values("validation_loss") }],
      this.breaks, this.inWords(),
    );
    this.accuracy.show([{ ...validation, values: values("validation_accuracy") }], this.breaks, this.inWords());
  }

  inWords() {
    const { epoch, train_loss: loss, validation_accuracy: accuracy } = this.epochs.at(-1);
    const known = { epoch, loss: loss?.toFixed(3) ?? "–" };
    return accuracy === null ? say("job_epoch_alone", known) : say("job_epoch", { ...known, accuracy: percent(accuracy) });
  }

  showSaid() {
    if (this.list.children.length === this.said.length) return;
    this.notes.hidden = false;
    this.summary.textContent = say("job_notes", { count: this.said.length });
    const missing = this.said.slice(this.list.children.length);
    this.list.append(...missing.map((event) => make("li", "", event[currentLanguage()] ?? event.en)));
  }

  /** For those who listen rather than look: now and then, not at every step. */
  speak() {
    if (performance.now() - this.lastSpoken < SPOKEN_EVERY_MS) return;
    this.lastSpoken = performance.now();
    const isLearning = this.part.name.endsWith(": epochs") && this.epochs.length > 0;
    this.status.textContent = `${this.now.textContent} ${isLearning ? this.inWords() : this.count.textContent}`;
  }

  offerCancel() {
    const button = make("button", "button button-small", say("job_cancel"));
    button.type = "button";
    button.addEventListener("click", () => this.askAgain());
    this.cancelling.replaceChildren(button);
    return button;
  }

  askAgain() {
    const question = make("p", "", say("job_cancel_question"));
    const yes = make("button", "button button-small button-danger", say("job_cancel_yes"));
    const no = make("button", "button button-small", say("job_cancel_no"));
    yes.type = no.type = "button";
    yes.addEventListener("click", () => this.cancel(question, yes));
    no.addEventListener("click", () => this.offerCancel().focus());
    this.cancelling.replaceChildren(question, yes, no);
    yes.focus();
  }

  async cancel(question, button) {
    button.disabled = true;
    try {
      await api("DELETE", `/api/jobs/${this.id}`); // the stream tells of the end
    } catch (error) {
      question.textContent = wordsOf(error);
      button.disabled = false;
    }
  }
}

function make(tag, className = "", text = "") {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

const percent = (share) => `${Math.round(share * 100)}%`;

/** Minutes and seconds. */
function clock(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** The next round number above all values, so that the axis rarely moves. */
function niceTop(values) {
  const most = Math.max(...values, 0.01);
  const step = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((times) => times * step).find((top) => top >= most);
}
