// Work that takes a while, a job on the server: begun, watched to its end, and its outcome told.

import { api, wordsOf } from "./api.js";
import { JobView } from "./job_view.js";
import { comparisonOf } from "./model_outcome.js";
import { buttonOf, confirmed, make } from "./dom.js";
import { changed, classNamed, path } from "./model_state.js";
import { reasonOf } from "./model_words.js";
import { decisionOf, explain } from "./verdict.js";
import { say } from "./texts.js";

const hostOf = (kind) => document.getElementById(kind === "compare" ? "compare-work" : "work");
const TITLES = {
  promote: (body) => say("models_promoting", { version: body.version }),
  export: (body) => say("models_exporting", { version: body.version ?? "imagenet" }),
  compare: (body) => say("models_comparing", body),
};
const OUTCOMES = { promote: promotion, export: files, compare: comparisonOf };

/** Begin `kind` (promote, export, compare) with `body`, and show it. */
export async function start(kind, body) {
  const host = hostOf(kind);
  open(host, TITLES[kind](body));
  try {
    follow(await api("POST", `${path}/${kind}`, body), host, body);
  } catch (error) {
    host.append(make("p", { className: "trouble", role: "alert" }, reasonOf(wordsOf(error))), closer(host));
  }
}

/** Show a job that runs already. */
export function resume(job) {
  const host = hostOf(job.kind);
  open(host, say("models_other_job"), false);
  follow(job, host, {});
}

function open(host, title, mayMove = true) {
  host.replaceChildren(make("h3", {}, title));
  host.hidden = false;
  if (!mayMove) return;
  host.focus({ preventScroll: true });
  host.scrollIntoView({ block: "nearest" });
}

function follow(job, host, body) {
  const room = host.appendChild(make("div", {}));
  const view = new JobView(room, {
    onEnd: (ended) => {
      room.remove();
      host.replaceChildren(make("div", { role: "status", className: "outcome" }, ...told(ended, body)), closer(host));
      changed();
    },
    onFailure: () => host.append(closer(host)), // the view says why
  });
  view.follow(job.id);
}

function closer(host) {
  return make("div", { className: "actions" }, buttonOf(say("models_close"), () => {
    host.hidden = true;
    document.getElementById("content").focus({ preventScroll: true });
  }, "link"));
}

function told(job, body) {
  if (job.state === "cancelled") return [make("h3", {}, say("models_job_cancelled"))];
  const outcome = OUTCOMES[job.kind];
  if (job.state === "failed") {
    const why = job.error ? reasonOf(job.error) : say("models_job_failed_hint");
    const anyway = job.kind === "promote" && body.version && !body.force ? anywayButton(body.version) : null;
    return [make("h3", {}, say("models_job_failed")), make("p", {}, why), anyway].filter(Boolean);
  }
  return outcome && job.result ? outcome(job.result, job) : [make("h3", {}, say("models_job_done"))];
}

function promotion(result) {
  const [decision, ...forced] = decisionOf(result);
  const why = [...forced, ...explain(result, classNamed)].map((sentence) => make("li", {}, sentence));
  const anyway = result.promoted ? null : make("p", { className: "actions" }, anywayButton(result.candidate));
  return [make("h3", {}, decision), make("ul", {}, ...why), anyway].filter(Boolean);
}

function anywayButton(version) {
  return buttonOf(say("models_anyway"), async () => {
    if (await confirmed(say("models_anyway_sure", { version }), say("models_anyway"))) start("promote", { version, force: true });
  }, "button button-small button-danger");
}

function files(result, job) {
  const href = `/api/jobs/${encodeURIComponent(job.id)}/files`;
  return [
    make("h3", {}, say("models_exported")),
    make("p", {}, say("models_exported_hint")),
    make("p", { className: "actions" }, make("a", { className: "button button-main", href, download: "" }, say("models_download"))),
  ];
}
