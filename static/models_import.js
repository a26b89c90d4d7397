// A model made elsewhere becomes a version of a mode.

import { api, wordsOf } from "./api.js";
import { reasonOf } from "./model_words.js";
import { say } from "./texts.js";

const KEY = /^(?!.*\.\.)[\p{L}\p{N}][\p{L}\p{N}_.-]{0,63}$/u;

const dialog = document.getElementById("import");
const form = document.getElementById("import-form");
const file = document.getElementById("import-file");
const labels = document.getElementById("import-labels");
const labelsField = document.getElementById("import-labels-field");
const mode = document.getElementById("import-mode");
const trouble = document.getElementById("import-trouble");
const send = document.getElementById("import-send");

/** Let the page's button open the dialog; `onChange` draws the list anew where an import failed half-way. */
export function prepareImport(onChange) {
  document.getElementById("import-open").addEventListener("click", () => {
    complain(null, "");
    dialog.showModal();
  });
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", onChange);
  file.addEventListener("change", drawLabels);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
}

const isZip = () => file.files[0]?.name.toLowerCase().endsWith(".zip") ?? false;

function drawLabels() {
  labelsField.hidden = isZip(); // a version brings its own
  const name = file.files[0]?.name.replace(/\.\w+$/, "") ?? "";
  if (!mode.value && !isZip() && KEY.test(name)) mode.value = name;
}

function wrong() {
  if (!file.files.length) return [file, say("models_import_no_file")];
  if (!isZip() && !labels.files.length) return [labels, say("models_import_no_labels")];
  if (!KEY.test(mode.value.trim())) return [mode, say("models_import_bad_mode")];
  if (mode.value.trim() === "imagenet") return [mode, say("models_import_base")];
  return null;
}

function complain(field, sentence) {
  for (const one of [file, labels, mode]) one.removeAttribute("aria-invalid");
  trouble.textContent = sentence;
  field?.setAttribute("aria-invalid", "true");
  field?.focus();
}

async function submit() {
  const found = wrong();
  if (found) {
    complain(...found);
    return;
  }
  complain(null, "");
  const body = new FormData(form);
  for (const name of ["title_en", "title_zh"]) if (!body.get(name).trim()) body.delete(name);
  if (isZip()) body.delete("labels");
  const key = mode.value.trim();
  send.disabled = true;
  send.textContent = say("models_import_sending");
  try {
    const record = await api("POST", `/api/modes/${encodeURIComponent(key)}/import`, body);
    location.href = `/models/${encodeURIComponent(key)}?new=${encodeURIComponent(record.version)}`;
  } catch (error) {
    complain(file, error.code === "bad_model" ? say("models_import_refused", { reason: reasonOf(wordsOf(error)).replace(/[.。]$/, "") }) : wordsOf(error));
  } finally {
    send.disabled = false;
    send.textContent = say("models_import_send");
  }
}
