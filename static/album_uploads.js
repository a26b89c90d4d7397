// Photos on their way to the server: scaled down here, in batches, a few at once, each told of in the end.

import { api, wordsOf } from "./api.js";
import { Failure } from "./failure.js";
import { createQueue } from "./queue.js";
import { drawn } from "./shrink.js";
import { pageData, sayError } from "./texts.js";

const AT_ONCE = 3;
const BATCH = 6;
const LONG_SIDE = 1024; // the server keeps no more
const SMALL_BYTES = 400_000; // sent as it is, where its sides are small, too
const PAUSES_S = [1, 2, 4, 8];
const FORM_BYTES = 1024; // what the form adds around a picture
const MOST_BYTES = pageData.limits.limit_mb * 1024 * 1024 - BATCH * FORM_BYTES;

export class Uploads {
  #enqueue = createQueue(AT_ONCE);
  #states = new Map();

  /** `onPhoto(id, photo)` for each new photo of a class, `onChange(id)` as its uploads go on, `onSettled()` after all. */
  constructor(path, { onPhoto, onChange, onSettled }) {
    Object.assign(this, { path, onPhoto, onChange, onSettled });
    addEventListener("beforeunload", (event) => {
      if (this.isBusy) event.preventDefault();
    });
  }

  get isBusy() {
    return [...this.#states.values()].some((state) => state.done < state.total);
  }

  /** How far a class has come: `done` of `total`, how many were there `already`, and the `failures`. */
  of(id) {
    if (!this.#states.has(id)) this.#states.set(id, { done: 0, total: 0, already: 0, failures: [] });
    return this.#states.get(id);
  }

  add(id, files) {
    const state = this.of(id);
    if (state.done === state.total) Object.assign(state, { done: 0, total: 0, already: 0 });
    state.total += files.length;
    for (let start = 0; start < files.length; start += BATCH) {
      const batch = files.slice(start, start + BATCH);
      this.#enqueue(() => this.#sendAll(id, batch));
    }
    this.onChange(id);
  }

  retry(id) {
    const again = this.of(id).failures.map((failure) => failure.file);
    this.of(id).failures = [];
    this.add(id, again);
  }

  dismiss(id) {
    this.of(id).failures = [];
    this.onChange(id);
  }

  async #sendAll(id, files) {
    const pictures = [];
    for (const file of files) {
      try {
        pictures.push({ file, blob: await smaller(file) });
      } catch (error) {
        this.#fail(id, file, error instanceof Failure ? error : new Failure({ key: "teach_file_unreadable" }));
      }
    }
    for (const group of groupsOf(pictures)) await this.#send(id, group);
    if (!this.isBusy) this.onSettled();
  }

  async #send(id, pictures) {
    const form = new FormData();
    for (const { file, blob } of pictures) form.append("file", blob, file.name);
    let results;
    try {
      ({ results } = await patiently(() => api("POST", `${this.path}/classes/${id}/photos`, form)));
    } catch (error) {
      for (const { file } of pictures) this.#fail(id, file, error);
      return;
    }
    results.forEach((result, place) => this.#take(id, pictures[place].file, result));
  }

  #take(id, file, { photo, already, error }) {
    if (error) {
      this.#fail(id, file, new Failure({ code: error.code, words: error.detail }));
      return;
    }
    const state = this.of(id);
    state.done += 1;
    if (already) state.already += 1;
    else this.onPhoto(id, photo);
    this.onChange(id);
  }

  #fail(id, file, error) {
    const state = this.of(id);
    state.done += 1;
    const words = error.code === "too_large" ? sayError("too_large", "") : wordsOf(error);
    state.failures.push({ file, words, mayPass: error.mayPass });
    this.onChange(id);
  }
}

/** As many to a request as the server takes. */
function groupsOf(pictures) {
  const groups = [];
  let bytes = Infinity;
  for (const picture of pictures) {
    if (bytes + picture.blob.size > MOST_BYTES) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1).push(picture);
    bytes += picture.blob.size;
  }
  return groups;
}

/** The file as it is kept; one that the browser cannot read goes as it is. */
async function smaller(file) {
  await file.slice(0, 1).arrayBuffer(); // which fails for what is gone, or no file
  const picture = await createImageBitmap(file, { imageOrientation: "from-image" }).catch(() => null);
  if (picture === null) {
    if (file.size > MOST_BYTES) throw new Failure({ code: "too_large" });
    return file;
  }
  try {
    const isSmall = file.size <= Math.min(SMALL_BYTES, MOST_BYTES) && Math.max(picture.width, picture.height) <= LONG_SIDE;
    return isSmall ? file : (await drawn(picture, LONG_SIDE)).blob;
  } finally {
    picture.close();
  }
}

/** What may pass is asked again after a while. */
async function patiently(ask) {
  for (const pause of [...PAUSES_S, null]) {
    try {
      return await ask();
    } catch (error) {
      if (pause === null || !error.mayPass) throw error;
      await new Promise((resolve) => setTimeout(resolve, pause * 1000));
    }
  }
}
