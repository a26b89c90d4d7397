// The page on which one mode is taught: photos come in, are looked over, trained on, tried, and put into service.

import { watchCamera } from "./album_camera.js";
import { drawClasses, drawUploads, watchClasses } from "./album_classes.js";
import { watchFindings } from "./album_findings.js";
import { chosenIn, sorted, watchIntake } from "./album_intake.js";
import { drawNext, watchNext } from "./album_next.js";
import { drawResult } from "./album_result.js";
import { watchSelection } from "./album_selection.js";
import { drawService, findComparison, watchService } from "./album_service.js";
import { addClass, addPhoto, album, change, classNamed, complain, nameOf, namesIn, onAlbum, path, reload, use } from "./album_state.js";
import { drawTraining, findTraining, watchTraining } from "./album_train.js";
import { drawTrying, tryOn, watchTrying } from "./album_try.js";
import { Uploads } from "./album_uploads.js";
import { api, wordsOf } from "./api.js";
import { announce, confirmed, inOurs, make } from "./dom.js";
import { photosOf, thingsOf } from "./teach_words.js";
import { say } from "./texts.js";

const told = document.getElementById("told");
const titleForm = document.getElementById("album-form");

const uploads = new Uploads(path, {
  onPhoto: addPhoto,
  onChange(id) {
    drawUploads(id);
    drawSoon(id);
  },
  async onSettled() {
    await reload();
    const failures = album.classes.flatMap((one) => uploads.of(one.id).failures).length;
    announce(say("teach_uploaded", { photos: photosOf(album.photos), failures }));
  },
});
const isUploading = () => uploads.isBusy;

// Photos arrive many a second; the page follows a few times a second.
const changed = new Set();
function drawSoon(id) {
  if (changed.size === 0) {
    setTimeout(() => {
      for (const one of changed) drawClasses(one);
      changed.clear();
      drawTraining();
      drawNext(isUploading());
    }, 150);
  }
  changed.add(id);
}

async function start() {
  document.documentElement.classList.add("js");
  onAlbum(drawTitle);
  watchClasses(uploads, take);
  watchSelection(() => drawClasses());
  watchFindings(isUploading);
  watchTraining(isUploading, showResult);
  watchTrying();
  watchService();
  watchCamera();
  watchNext();
  watchTitle();
  watchIntake((found, target) => (target?.dataset.drop === "try" ? tryOn(found[0].file) : take(found, target?.dataset.class ?? null)));
  onAlbum(drawEnd);
  document.addEventListener("teach:step", () => drawNext(isUploading()));
  for (const id of ["folder", "zip"]) {
    const input = document.getElementById(id);
    input.addEventListener("change", () => take(chosenIn(input), null));
  }
  if (!(await reload())) return;
  document.getElementById("stages").hidden = false;
  await findTraining();
  await findComparison();
}

function drawTitle() {
  const title = inOurs(album.title_en, album.title_zh);
  document.getElementById("album-title").textContent = title;
  document.title = `${title} · Wanwu 万物识别`;
  const facts = { things: thingsOf(album.classes.length), photos: photosOf(album.photos) };
  document.getElementById("album-lede").textContent = album.active ? say("teach_facts_active", { ...facts, version: album.active })
    : album.classes.length === 0 ? say("teach_facts_empty") : say("teach_facts", facts);
}

function drawEnd() {
  drawResult();
  drawTrying();
  drawService();
  drawNext(isUploading());
}

async function showResult() {
  await drawResult();
  const heading = document.getElementById("result-title");
  heading.scrollIntoView({ block: "start" });
  heading.focus({ preventScroll: true });
}

function watchTitle() {
  const rename = document.getElementById("album-rename");
  const end = () => {
    titleForm.hidden = true;
    rename.focus();
  };
  rename.addEventListener("click", () => {
    titleForm.elements.title_en.value = album.title_en ?? "";
    titleForm.elements.title_zh.value = album.title_zh ?? "";
    titleForm.hidden = false;
    titleForm.querySelector("input").focus();
  });
  titleForm.querySelector(".form-cancel").addEventListener("click", end);
  titleForm.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { en, zh } = namesIn(titleForm, "title");
    if (await change("PATCH", "", { title_en: en, title_zh: zh })) end();
  });
  document.getElementById("album-delete").addEventListener("click", async () => {
    const words = say("teach_delete_album_sure", { photos: photosOf(album.photos) });
    if (!(await confirmed(words, say("teach_delete_album")))) return;
    try {
      await api("DELETE", path);
      location.assign("/teach");
    } catch (error) {
      complain(wordsOf(error));
    }
  });
}

/** Photos came: onto the class of that id, or anywhere. */
async function take(found, classId) {
  complain("");
  told.textContent = "";
  const { zips, loose, named, strange } = sorted(found, classId !== null);
  if (zips.length + loose.length + named.size === 0) complain(say("teach_nothing_dropped"));
  else if (strange > 0) told.textContent = strange === 1 ? say("teach_strange_one") : say("teach_strange", { n: strange });
  for (const zip of zips) await unpack(zip);
  for (const [name, files] of named) {
    const one = classNamed(name) ?? (await addClass(name));
    if (one) uploads.add(one.id, files);
  }
  if (loose.length === 0) return;
  const id = classId ?? (await whose(loose.length));
  if (id) uploads.add(id, loose);
}

async function unpack(zip) {
  const progress = document.getElementById("zip-progress");
  progress.hidden = false;
  const form = new FormData();
  form.append("file", zip, zip.name);
  try {
    const { added, already, refused, album: unpacked } = await api("POST", `${path}/zip`, form);
    use(unpacked);
    told.replaceChildren(make("p", {}, say("teach_unpacked", { photos: photosOf(added), already })));
    if (refused.length > 0) {
      told.append(make("p", {}, refused.length === 1 ? say("teach_failed_one") : say("teach_failed", { n: refused.length })));
      told.append(make("ul", {}, ...refused.map(({ filename, detail }) => make("li", {}, make("strong", {}, filename), ` ${detail}`))));
    }
  } catch (error) {
    complain(`${zip.name}: ${wordsOf(error)}`);
  } finally {
    progress.hidden = true;
  }
}

/** Ask which class the photos show; null where nobody says. */
function whose(n) {
  if (album.classes.length === 0) {
    complain(say("teach_name_first"));
    document.querySelector("#add input").focus();
    return null;
  }
  if (album.classes.length === 1) return album.classes[0].id;
  const dialog = document.getElementById("whose");
  const select = document.getElementById("whose-class");
  document.getElementById("whose-title").textContent = n === 1 ? say("teach_whose_one") : say("teach_whose", { n });
  select.replaceChildren(...album.classes.map((one) => make("option", { value: one.id }, nameOf(one))));
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes" ? select.value : null), { once: true });
  });
}

start();
