// The camera, live: about two questions a second, one at a time, and an answer that is smoothed.

import { ask, pause } from "./ask.js";
import { drawGuess, newGuess, said } from "./card.js";
import { isApart, levelOf } from "./decision.js";
import { Failure } from "./failure.js";
import { chosenMode, threshold } from "./settings.js";
import { Smoothing } from "./smoothing.js";
import { currentLanguage, relabel, say, sayError } from "./texts.js";

const PERIOD_MS = 500;
const TROUBLE_S = 2; // the least pause after a question that failed
const SHORT_SIDE = 320; // of what is sent; the network looks at 256 or less
const SHOWN = 3;
const LISTED = 10;
const SPOKEN_EVERY_MS = 4000;

const template = document.getElementById("live-template");
const place = document.getElementById("live");

/** The sentence for why there is no camera here. */
function refusal(error) {
  const keys = {
    NotAllowedError: "live_refused",
    SecurityError: "live_refused",
    NotFoundError: "live_none",
    OverconstrainedError: "live_none",
    NotReadableError: "live_taken",
    AbortError: "live_taken",
  };
  return new Failure({ key: keys[error.name] ?? "live_none" });
}

export class Live {
  stream = null;
  cameras = [];
  controller = null;
  smoothed = { top: new Smoothing(), groups: new Smoothing(), sureness: new Smoothing() };
  result = null; // what was seen over the last moments, as an answer
  mode = null;
  failure = null;
  waitS = 0; // how long the server wishes to be left alone
  spoken = { name: "", at: 0 };

  /** `onPhoto(file)` takes a photo that is kept, `announce(sentence)` speaks, `onEnd()` is told when the camera is off. */
  constructor({ onPhoto, announce, onEnd }) {
    Object.assign(this, { onPhoto, announce, onEnd });
  }

  part(selector) {
    return place.querySelector(selector);
  }

  get isOn() {
    return this.stream !== null;
  }

  /** Turn the camera on; a Failure says in a sentence why it cannot be. */
  async start() {
    if (!window.isSecureContext || !navigator.mediaDevices?.getUserMedia) throw new Failure({ key: "live_insecure" });
    await this.open({ facingMode: { ideal: "environment" } });
    place.replaceChildren(template.content.cloneNode(true));
    relabel(place);
    this.part(".stop").addEventListener("click", () => this.stop());
    this.part(".keep").addEventListener("click", () => this.keep());
    this.part(".switch").addEventListener("click", () => this.switchCamera());
    window.addEventListener("pagehide", this.leave);
    place.hidden = false;
    await this.show();
    this.part(".keep").focus({ preventScroll: true });
    place.scrollIntoView({ block: "nearest" });
    this.controller = new AbortController();
    this.run(this.controller.signal);
  }

  leave = () => this.stop();

  async open(wish) {
    this.release();
    const video = { ...wish, width: { ideal: 1280 }, height: { ideal: 960 } };
    this.stream = await navigator.mediaDevices.getUserMedia({ video, audio: false }).catch((error) => {
      throw refusal(error);
    });
    const [track] = this.stream.getVideoTracks();
    track.addEventListener("ended", () => this.lose());
    // Only now, with the permission, do the cameras have names.
    this.cameras = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
  }

  async show() {
    const video = this.part("video");
    video.srcObject = this.stream;
    this.part(".switch").hidden = this.cameras.length < 2;
    await video.play().catch(() => {}); // where it may not play by itself, the first frame stands
  }

  release() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
  }

  /** The camera was unplugged, or its permission taken back. */
  lose() {
    this.stop(new Failure({ key: "live_lost" }));
  }

  stop(failure = null) {
    if (!this.isOn) return;
    this.controller.abort();
    this.release();
    window.removeEventListener("pagehide", this.leave);
    place.hidden = true;
    place.replaceChildren();
    this.onEnd(failure);
  }

  async switchCamera() {
    const current = this.stream.getVideoTracks()[0].getSettings().deviceId;
    const index = this.cameras.findIndex(({ deviceId }) => deviceId === current);
    const next = this.cameras[(index + 1) % this.cameras.length];
    try {
      await this.open({ deviceId: { exact: next.deviceId } });
      this.forget();
      await this.show();
    } catch (error) {
      this.controller.abort();
      place.hidden = true;
      this.onEnd(error);
    }
  }

  /** One question after another: never two at once, whatever the server takes. */
  async run(signal) {
    try {
      while (!signal.aborted) {
        const began = performance.now();
        if (document.hidden) await shownAgain(signal);
        await this.once(signal);
        await pause(Math.max(50, PERIOD_MS - (performance.now() - began), this.waitS * 1000), signal);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async once(signal) {
    const mode = chosenMode();
    if (mode !== this.mode) this.forget();
    this.mode = mode;
    this.waitS = 0;
    try {
      const frame = await this.frame(SHORT_SIDE, 0.85);
      if (!frame) return; // the camera has not shown anything yet
      const wish = { mode, top_k: LISTED, lang: currentLanguage(), groups: 1 };
      const answer = await ask({ blob: frame, name: "camera.jpg" }, wish, signal, (name, value) => this.tell(name, value));
      if (mode !== chosenMode()) return;
      this.result = this.smooth(answer.results[0], performance.now() / 1000);
      this.failure = null;
    } catch (error) {
      if (signal.aborted) throw error;
      this.failure = error instanceof Failure ? error : new Failure({ key: "unreachable", mayPass: true });
      this.waitS = Math.max(TROUBLE_S, this.failure.retryAfter);
    }
    this.draw();
  }

  forget() {
    for (const smoothing of Object.values(this.smoothed)) smoothing.reset();
    this.result = null;
  }

  /** The answer of the last moments: the names, the groups and the sureness, each averaged. */
  smooth({ top, group, sureness }, seconds) {
    const groups = this.smoothed.groups.add(group ? [{ ...group, index: group.label }] : [], seconds);
    const [sure] = this.smoothed.sureness.add([{ index: 0, confidence: sureness }], seconds);
    return { top: this.smoothed.top.add(top, seconds), group: groups[0] ?? null, sureness: sure?.confidence ?? 0 };
  }

  async frame(shortSide, quality) {
    const video = this.part("video");
    if (!video?.videoWidth) return null;
    const scale = Math.min(1, shortSide / Math.min(video.videoWidth, video.videoHeight));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(video.videoWidth * scale);
    canvas.height = Math.round(video.videoHeight * scale);
    canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", quality));
  }

  async keep() {
    const blob = await this.frame(Infinity, 0.92);
    if (!blob) return;
    const time = new Date().toTimeString().slice(0, 8).replaceAll(":", ".");
    this.onPhoto(new File([blob], `camera-${time}.jpg`, { type: "image/jpeg" }));
    this.announce(say("live_kept"));
  }

  tell(name, value) {
    if (name === "retrying") this.part(".message").textContent = say("retrying", { seconds: value });
  }

  /** As things are now; also for a new threshold or language. */
  draw() {
    if (!this.isOn) return;
    const level = this.result && levelOf(this.result, threshold());
    const { name: known, share } = this.result ? said(this.result, threshold()) : {};
    const name = level ? known : say("unknown");
    this.part(".live-answer").dataset.state = !this.result ? "empty" : level === "class" ? "known" : level ?? "unknown";
    this.part(".name").textContent = this.result ? name : "";
    this.part(".message").textContent = this.failure ? sentenceOf(this.failure) : "";
    const list = this.part(".guesses");
    const shown = this.result?.top.slice(0, SHOWN) ?? [];
    const mark = this.result && isApart(this.result) ? null : threshold();
    while (list.children.length > shown.length) list.lastElementChild.remove();
    while (list.children.length < shown.length) list.append(newGuess());
    shown.forEach((entry, index) => drawGuess(list.children[index], entry, mark));
    if (this.result) this.speak(name, share);
  }

  // Not twice a second: a screen reader is told when the name has changed, and seldom.
  speak(name, share) {
    const now = performance.now();
    if (name === this.spoken.name || now - this.spoken.at < SPOKEN_EVERY_MS) return;
    this.spoken = { name, at: now };
    this.announce(say("live_sees", { name, share }));
  }
}

function sentenceOf({ code, words, key }) {
  return (code && sayError(code, words)) || say(key ?? "unreachable");
}

function shownAgain(signal) {
  return new Promise((resolve, reject) => {
    const look = () => { if (!document.hidden) resolve(); };
    document.addEventListener("visibilitychange", look, { signal });
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
