// A picture too large for the server is scaled down here, where the browser can read it.

import { Failure } from "./ask.js";

const LONG_SIDE = 2048;
const FORM_BYTES = 4096; // what the multipart form adds around the picture

/** What to send for `file`: itself, or a smaller copy with `shrunk` saying its size. */
export async function prepare(file, limitMb, onPhase) {
  await checkReadable(file);
  if (file.size + FORM_BYTES <= limitMb * 1024 * 1024) return { blob: file, name: file.name, shrunk: null };
  onPhase("shrinking");
  try {
    return await shrink(file);
  } catch {
    throw new Failure({ code: "too_large" });
  }
}

// A dropped folder looks like a file until it is read.
async function checkReadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new Failure({ key: "unreadable_file" });
  }
}

async function shrink(file) {
  const picture = await createImageBitmap(file, { imageOrientation: "from-image" });
  const scale = Math.min(1, LONG_SIDE / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(picture.width * scale);
  canvas.height = Math.round(picture.height * scale);
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
  return {
    blob,
    name: `${file.name.replace(/\.\w+$/, "")}.jpg`,
    shrunk: { width: canvas.width, height: canvas.height },
  };
}
