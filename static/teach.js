// The place Teach: what is being taught, and the way to begin something new.

import { api, wordsOf } from "./api.js";
import { inOther, inOurs, make } from "./dom.js";
import { photosOf, thingsOf } from "./teach_words.js";
import { say } from "./texts.js";

const list = document.getElementById("albums");
const form = document.getElementById("new");
const trouble = document.getElementById("new-trouble");

async function start() {
  document.documentElement.classList.add("js");
  form.addEventListener("submit", begin);
  form.querySelector("[type=submit]").disabled = false; // until here the browser would send it on its own, to nowhere
  try {
    const [{ albums }, { jobs }] = await Promise.all([api("GET", "/api/albums"), api("GET", "/api/jobs")]);
    const running = new Set(jobs.filter((job) => job.state === "running" && job.kind === "train").map((job) => job.mode));
    list.replaceChildren(...albums.map((album) => line(album, running.has(album.key))));
    list.hidden = albums.length === 0;
    document.documentElement.toggleAttribute("data-empty", albums.length === 0);
  } catch (error) {
    document.getElementById("notice").textContent = wordsOf(error);
  }
}

function line(album, isTraining) {
  const facts = `${thingsOf(album.classes)} · ${photosOf(album.photos)}`;
  const [state, isMain] = isTraining ? [say("teach_training"), true]
    : album.active ? [say("teach_in_service"), false] : [say("teach_untrained"), false];
  return make("li", { className: "album" },
    make("a", { href: `/teach/${album.key}` }, inOurs(album.title_en, album.title_zh)),
    inOther(album.title_en, album.title_zh),
    make("span", { className: "album-facts" }, facts),
    make("span", { className: isMain ? "tag tag-main" : "tag" }, state));
}

async function begin(event) {
  event.preventDefault();
  const titles = Object.fromEntries(["title_en", "title_zh"].map((name) => [name, form.elements[name].value.trim()]));
  trouble.textContent = "";
  if (!titles.title_en && !titles.title_zh) {
    trouble.textContent = say("teach_title_missing");
    form.querySelector("input").focus();
    return;
  }
  try {
    const album = await api("POST", "/api/albums", titles);
    location.assign(`/teach/${album.key}`);
  } catch (error) {
    trouble.textContent = wordsOf(error);
  }
}

start();
