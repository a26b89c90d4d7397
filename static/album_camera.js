// The camera in bursts: hold the button or the space bar, and a photo is taken three times a second.

import { drawn } from "./shrink.js";
import { photosOf } from "./teach_words.js";
import { say } from "./texts.js";

const EVERY_MS = 300;
const LONG_SIDE = 1024;

const dialog = document.getElementById("camera");
const video = dialog.querySelector("video");
const shutter = dialog.querySelector(".shutter");
const count = dialog.querySelector(".camera-count");
const trouble = dialog.querySelector(".trouble");
const files = dialog.querySelector(".camera-files");

let stream = null;
let timer = null;
let taken = 0;
let facing = "environment";
let take = () => {};

/** Open the camera for the class called `name`; `onFiles` gets each photo at once. */
export function openCamera(name, onFiles) {
  take = onFiles;
  taken = 0;
  dialog.querySelector("h2").textContent = say("teach_camera_of", { name });
  drawCount();
  dialog.showModal();
  begin();
}

export function watchCamera() {
  shutter.addEventListener("pointerdown", (event) => {
    shutter.setPointerCapture(event.pointerId);
    hold();
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) shutter.addEventListener(end, release);
  shutter.addEventListener("contextmenu", (event) => event.preventDefault()); // a long press is a burst here
  dialog.addEventListener("keydown", (event) => {
    const isControl = event.target !== shutter && event.target.closest("button, input");
    if (event.key !== " " || isControl) return;
    event.preventDefault();
    if (!event.repeat) hold();
  });
  dialog.addEventListener("keyup", (event) => {
    if (event.key === " ") release();
  });
  // Enter, and a screen reader's press, click without a pointer.
  shutter.addEventListener("click", (event) => {
    if (event.detail === 0 && !timer) shoot();
  });
  dialog.querySelector(".camera-turn").addEventListener("click", () => {
    facing = facing === "user" ? "environment" : "user";
    begin();
  });
  dialog.querySelector(".camera-done").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", end);
  files.addEventListener("change", () => {
    const chosen = [...files.files];
    files.value = "";
    taken += chosen.length;
    drawCount();
    take(chosen);
  });
}

async function begin() {
  stop();
  trouble.textContent = "";
  dialog.removeAttribute("data-blind");
  try {
    if (!navigator.mediaDevices?.getUserMedia) throw new DOMException("", "SecurityError");
    const asked = await navigator.mediaDevices.getUserMedia({ video: { facingMode: facing, width: { ideal: 1280 } } });
    if (!dialog.open) {
      for (const track of asked.getTracks()) track.stop();
      return;
    }
    stream = asked;
    video.srcObject = stream;
    await video.play();
    shutter.focus();
  } catch (error) {
    if (error.name === "AbortError") return; // it was closed meanwhile
    dialog.setAttribute("data-blind", "");
    const reasons = { SecurityError: say("teach_camera_https"), NotFoundError: say("teach_camera_none") };
    trouble.textContent = reasons[error.name] ?? say("teach_camera_refused");
    files.focus();
  }
}

function hold() {
  if (timer || !stream) return;
  shoot();
  timer = setInterval(shoot, EVERY_MS);
}

function release() {
  clearInterval(timer);
  timer = null;
}

async function shoot() {
  if (!video.videoWidth) return;
  const send = take; // the dialog may be closed before the picture is drawn
  const picture = await createImageBitmap(video);
  const { blob } = await drawn(picture, LONG_SIDE);
  picture.close();
  taken += 1;
  drawCount();
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) video.animate([{ opacity: 0.4 }, { opacity: 1 }], { duration: 180 });
  send([new File([blob], `camera-${Date.now()}-${taken}.jpg`, { type: "image/jpeg" })]);
}

function drawCount() {
  count.textContent = photosOf(taken);
}

function stop() {
  release();
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  video.srcObject = null;
}

function end() {
  stop();
  take = () => {};
}
