// A picture too large for the server is scaled down here, where the browser can read it.

import { Failure } from "./failure.js";

const LONG_SIDES = [2048, 1024, 512]; // the first that fits; the network looks at 224 pixels
const FORM_BYTES = 4096; // what the multipart form adds around the picture

/** What to send for `file`: itself, or a smaller copy with `shrunk` saying its size. */
export async function prepare(file, limitMb, onPhase) {
  await checkReadable(file);
  const mostBytes = limitMb * 1024 * 1024 - FORM_BYTES;
  if (file.size <= mostBytes) return { blob: file, name: file.name, shrunk: null };
  onPhase("shrinking");
  const smaller = await shrink(file, mostBytes).catch(() => null);
  if (!smaller) throw new Failure({ code: "too_large" });
  return { ...smaller, name: `${file.name.replace(/\.\w+$/, "")}.jpg` };
}

// A dropped folder looks like a file until it is read.
async function checkReadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new Failure({ key: "unreadable_file" });
  }
}

async function shrink(file, mostBytes) {
  const picture = await createImageBitmap(file, { imageOrientation: "from-image" });
  try {
    for (const longSide of LONG_SIDES) {
      const smaller = await drawn(picture, longSide);
      if (smaller.blob.size <= mostBytes) return smaller;
    }
    return null;
  } finally {
    picture.close();
  }
}

/** A bitmap as a JPEG of at most that many pixels a side, on white where it is transparent. */
export async function drawn(picture, longSide) {
  const scale = Math.min(1, longSide / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(picture.width * scale);
  canvas.height = Math.round(picture.height * scale);
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
  return { blob, shrunk: { width: canvas.width, height: canvas.height } };
}
