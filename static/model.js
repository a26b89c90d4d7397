// The page `model`: one mode, its versions, and what can be done with them.

import { api, wordsOf } from "./api.js";
import { drawComparison } from "./model_compare.js";
import { drawHistory } from "./model_history.js";
import { inOther, inOurs, make } from "./dom.js";
import { announce } from "./model_parts.js";
import { drawStanding } from "./model_standing.js";
import { lags, load, state } from "./model_state.js";
import { drawThreshold } from "./model_threshold.js";
import { drawTrial } from "./model_trial.js";
import { drawVersions } from "./model_versions.js";
import { resume } from "./model_work.js";
import { currentLanguage, pageData, say } from "./texts.js";

const FOLLOWED_AFTER_MS = [700, 1300, 2000];

async function show() {
  await load();
  drawHead();
  drawStanding();
  follow([...FOLLOWED_AFTER_MS]);
  const hasVersions = Boolean(state.record?.versions.length);
  document.getElementById("parts").hidden = !hasVersions;
  if (!hasVersions) return;
  drawVersions();
  drawHistory();
  drawComparison();
  drawTrial();
  await drawThreshold();
}

/** What is served may be a moment behind; its name and classes are drawn once it is there. */
async function follow([wait, ...later]) {
  if (!wait || !lags() || state.record.problem) return;
  await new Promise((resolve) => { setTimeout(resolve, wait); });
  await load();
  drawHead();
  drawStanding();
  follow(later);
}

function drawHead() {
  const { title } = state;
  document.getElementById("title").textContent = inOurs(title.en, title.zh);
  document.title = `${inOurs(title.en, title.zh)} · Wanwu 万物识别`;
  const classes = state.labels.map((label) => (currentLanguage() === "zh" && label.label_zh) || label.label);
  const some = classes.slice(0, 8).join(currentLanguage() === "zh" ? "、" : ", ");
  document.getElementById("about").replaceChildren(...[
    inOther(title.en, title.zh), " ", make("code", {}, pageData.mode),
    classes.length ? make("span", { className: "about-classes" },
      say(classes.length > 8 ? "models_classes_more" : "models_classes_are", { n: classes.length, names: some })) : null,
  ].filter(Boolean));
}

async function begin() {
  try {
    await show();
    const news = new URLSearchParams(location.search).get("new");
    const imported = state.record?.versions.find(({ version }) => version === news);
    if (imported) {
      history.replaceState(null, "", location.pathname);
      announce(say(imported.active ? "models_imported_active" : "models_imported", { version: news }));
    }
    document.addEventListener("model-changed", () => show().catch(complain));
    const { jobs } = await api("GET", "/api/jobs");
    const running = jobs.find((job) => job.mode === pageData.mode && job.state === "running");
    if (running) resume(running);
  } catch (error) {
    complain(error);
  }
}

function complain(error) {
  document.getElementById("notice").textContent = wordsOf(error);
}

for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
begin();
