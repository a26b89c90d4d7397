// Training: what will be done, the button, the job while it runs, and what became of it.

import { api, wordsOf } from "./api.js";
import { album, complain, onAlbum, path, reload } from "./album_state.js";
import { JobView } from "./job_view.js";
import { announce, inOurs } from "./dom.js";
import { photosOf, thingsOf } from "./teach_words.js";
import { pageData, say } from "./texts.js";

const BEGINNING_S = 15; // loading, and what comes after, whatever there is to learn from
const LOOK_S = 0.05; // one look at a photo, on two cores
const [MOST_LOOKS, FEWEST_VIEWS, MOST_VIEWS] = [2000, 4, 16]; // as `views_for` in app/training/features.py has them

const button = document.getElementById("train");
const problem = document.getElementById("train-problem");
const failed = document.getElementById("train-failed");
let view = null;
let running = null;
let isBusy = () => false;
let onTrained = () => {};

export const isTraining = () => running !== null;

/** `isUploading()`: then nothing can begin; `onDone()` once a new version is there. */
export function watchTraining(isUploading, onDone) {
  isBusy = isUploading;
  onTrained = onDone;
  view = new JobView(document.getElementById("train-job"), { onEnd: end });
  onAlbum(drawTraining);
  button.addEventListener("click", () => train(false));
  document.getElementById("train-again").addEventListener("click", () => train(false));
  document.getElementById("train-resume").addEventListener("click", () => train(true));
}

/** Find the last training of this album again, running or not. */
export async function findTraining() {
  if (!album.job) return;
  const job = await api("GET", `/api/jobs/${album.job}`).catch(() => null); // an old one may be forgotten
  if (job?.state === "running") follow(job.id);
  else if (job && job.state !== "done") tellFailure(job);
}

export function drawTraining() {
  const views = Math.min(Math.max(MOST_LOOKS / Math.max(album.photos, 1), FEWEST_VIEWS), MOST_VIEWS);
  const seconds = BEGINNING_S + LOOK_S * album.photos * (1 + views);
  const values = { photos: photosOf(album.photos), things: thingsOf(album.classes.length) };
  document.getElementById("train-plan").textContent = album.photos === 0 ? say("teach_plan_none")
    : say("teach_plan", { ...values, time: timeOf(seconds) });
  button.hidden = isTraining();
  button.disabled = !pageData.can_teach || isBusy() || album.problem !== null;
  button.textContent = album.versions.length > 0 ? say("teach_train_new") : say("teach_train");
  problem.textContent = isTraining() ? "" : whyNot();
}

function whyNot() {
  if (!pageData.can_teach) return say("teach_extras_short");
  if (isBusy()) return say("teach_wait_uploads");
  return album.problem ? inOurs(album.problem.en, album.problem.zh) : "";
}

function timeOf(seconds) {
  if (seconds < 55) return say("teach_seconds", { n: Math.ceil(seconds / 10) * 10 });
  const minutes = Math.max(1, Math.round(seconds / 60));
  return minutes === 1 ? say("teach_minute") : say("teach_minutes", { n: minutes });
}

async function train(resume) {
  complain("");
  try {
    follow((await api("POST", `${path}/train`, { resume })).id);
    announce(say("teach_training_began"));
  } catch (error) {
    complain(wordsOf(error));
  }
}

function follow(id) {
  running = id;
  failed.hidden = true;
  document.getElementById("train-job").hidden = false;
  view.follow(id);
  drawTraining();
  document.dispatchEvent(new Event("teach:step"));
}

async function end(job) {
  running = null;
  if (job.state === "done") {
    document.getElementById("train-job").hidden = true;
    await reload();
    announce(say("teach_training_done"));
    onTrained();
  } else {
    tellFailure(job);
  }
  drawTraining();
  document.dispatchEvent(new Event("teach:step"));
}

function tellFailure(job) {
  failed.hidden = false;
  const isCancelled = job.state === "cancelled";
  const reason = [isCancelled ? say("teach_cancelled") : say("teach_train_failed"), isCancelled ? "" : job.error];
  failed.querySelector(".train-why").textContent = reason.filter(Boolean).join(" ");
}
