// In which format a version is written for programs without Wanwu.

import { start } from "./model_work.js";
import { say } from "./texts.js";

const dialog = document.getElementById("export");
const form = document.getElementById("export-form");

/** Ask for the format, and begin. `version`: null for the base mode. */
export function openExport(version) {
  document.getElementById("export-title").textContent = say("models_export_title", { version: version ?? "imagenet" });
  dialog.returnValue = "";
  dialog.onclose = () => {
    if (dialog.returnValue === "yes") start("export", { ...(version ? { version } : {}), format: new FormData(form).get("format") });
  };
  dialog.showModal();
}
