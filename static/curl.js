// "Copy as curl": the same question for a terminal.

import { say } from "./texts.js";

const PLAIN = /^[\w@%+=:,./-]+$/; // what no shell takes for anything but itself

/** The command that asks `origin` the same of the file `name`, which lies where it is run. */
export function commandFor({ name, mode, threshold, origin }) {
  const file = /[",;\\]/.test(name) ? `"${name.replace(/[\\"]/g, "\\$&")}"` : name; // curl has marks of its own
  const fields = [`file=@${file}`, `mode=${mode}`, `threshold=${threshold}`, "groups=1"];
  return ["curl", ...fields.flatMap((field) => ["-F", quoted(field)]), quoted(`${origin}/predict`)].join(" ");
}

function quoted(word) {
  return PLAIN.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Copy `command` and say so in `place`; where no way of copying works, the command stands there selected. */
export async function copy(command, place) {
  const field = place.querySelector("textarea");
  const told = place.querySelector("p");
  place.hidden = false;
  told.textContent = ""; // so that a second time is spoken, too
  field.hidden = false;
  field.value = command;
  const isCopied = await byClipboard(command) || bySelection(field);
  field.hidden = isCopied;
  if (!isCopied) selectAll(field);
  told.textContent = say(isCopied ? "curl_copied" : "curl_by_hand");
}

// Browsers give the clipboard to https pages and to this machine itself only.
async function byClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

function bySelection(field) {
  const before = document.activeElement;
  selectAll(field);
  const isCopied = document.execCommand("copy");
  if (isCopied) before?.focus();
  return isCopied;
}

function selectAll(field) {
  field.focus();
  field.select();
}
