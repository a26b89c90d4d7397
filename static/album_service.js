// Into service: the first version is at once, a later one when it is better, or when somebody insists.

import { newest } from "./album_result.js";
import { album, classNamed, complain, nameOf, reload } from "./album_state.js";
import { api, wordsOf } from "./api.js";
import { JobView } from "./job_view.js";
import { buttonOf, confirmed, make } from "./dom.js";
import { pageData, say } from "./texts.js";
import { decisionOf, explain } from "./verdict.js";

const words = document.getElementById("service-words");
const host = document.getElementById("service-job");
const modePath = `/api/modes/${pageData.mode}`;
const MOST_TRIES = 60; // a second each
let drawn = "";
let view = null;
let running = false;
const served = new Set();
let verdict = null; // of the comparison that has just been made: its result, or the sentence of its failure

export function watchService() {
  view = new JobView(host, { onEnd: end });
}

const verdictWords = (result) => [...decisionOf(result), ...explain(result, (label) => nameOf(classNamed(label) ?? { label, label_zh: label }))];

/** Find a comparison of this mode again that runs, or whose verdict on the newest version nobody has acted on. */
export async function findComparison() {
  const { jobs } = await api("GET", "/api/jobs").catch(() => ({ jobs: [] }));
  const job = jobs.find((one) => one.kind === "promote" && one.mode === pageData.mode);
  if (job?.state === "running") follow(job.id);
  else if (job?.result?.candidate === newest() && !job.result.promoted && newest() !== album.active) verdict = job.result;
  drawService();
}

export function drawService() {
  const version = newest();
  const now = JSON.stringify([version, album.active, running, verdict]);
  if (now === drawn) return; // so that it is said once, and the focus stays
  drawn = now;
  if (running) words.replaceChildren(make("p", {}, say("teach_comparing", { version, active: album.active })));
  else if (version === null) words.replaceChildren(make("p", { className: "quiet" }, say("teach_service_none")));
  else if (version === album.active) words.replaceChildren(...inService(version));
  else words.replaceChildren(...(verdict ? notBetter(version) : offer(version)));
}

function inService(version) {
  const link = make("a", { className: "button button-main", href: `/?mode=${encodeURIComponent(pageData.mode)}` }, say("teach_recognise"));
  const told = verdict?.promoted ? verdictWords(verdict) : [album.versions.length === 1 ? say("teach_service_first") : say("teach_service_now", { version })];
  const getting = make("p", { className: "quiet" }, say("teach_service_loading"));
  const ready = make("p", { className: "actions", hidden: true }, link);
  untilServed(version).then(() => {
    getting.remove();
    ready.hidden = false;
  });
  return [...told.map((sentence) => make("p", {}, sentence)), getting, ready];
}

/** Until this server answers with the version: each of its workers notices within two seconds. */
async function untilServed(version) {
  for (let tries = 0; tries < MOST_TRIES && !served.has(version) && version === album.active; tries += 1) {
    const { modes } = await api("GET", "/modes").catch(() => ({ modes: [] }));
    const mode = modes.find((one) => one.key === pageData.mode);
    if (mode && (!mode.model || mode.model.version === version)) served.add(version);
    else await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

function offer(version) {
  return [
    make("p", {}, say("teach_service_offer", { version, active: album.active ?? "" })),
    make("p", { className: "actions" }, buttonOf(say("teach_promote", { version }), () => promote(version, false), "button button-main")),
  ];
}

function notBetter(version) {
  const sentences = verdict.failure ? [say("teach_compare_failed"), verdict.failure] : [...verdictWords(verdict), say("teach_kept_do")];
  const [decision, ...reasons] = sentences.filter(Boolean);
  const keep = buttonOf(say("teach_keep", { active: album.active }), kept, "button button-main");
  const force = buttonOf(say("teach_force", { version }), () => insist(version), "button button-danger");
  return [
    make("p", { className: "figure" }, decision),
    ...reasons.map((sentence) => make("p", {}, sentence)),
    make("p", { className: "actions" }, keep, force),
  ];
}

function kept() {
  verdict = null;
  drawn = "";
  words.replaceChildren(
    make("p", {}, say("teach_kept", { active: album.active })),
    make("p", { className: "actions" }, buttonOf(say("teach_more_photos"), () => document.getElementById("photos-title").focus())));
  words.querySelector("button").focus();
}

async function insist(version) {
  const sure = say("teach_force_sure", { version, active: album.active });
  if (await confirmed(sure, say("teach_force_yes"))) promote(version, true);
}

async function promote(version, force) {
  complain("");
  try {
    follow((await api("POST", `${modePath}/promote`, { version, force })).id);
  } catch (error) {
    complain(wordsOf(error));
  }
}

function follow(id) {
  running = true;
  host.hidden = false;
  drawService();
  view.follow(id);
}

async function end(job) {
  running = false;
  host.hidden = true;
  verdict = job.state === "cancelled" ? null : job.result ?? { failure: job.error ?? "" };
  await reload();
  drawService();
}
