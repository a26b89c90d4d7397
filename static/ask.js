// One picture to the server and its answer back.

import { Failure } from "./failure.js";

const POLITE_RETRIES = 2;
const LONGEST_WAIT_S = 10;

/** Ask `/predict` about `picture`, `wish` being the form's other fields; a busy server is asked again after the pause
 *  that it wishes. */
export async function ask(picture, wish, signal, onPhase) {
  for (let retries = 0; ; retries += 1) {
    signal.throwIfAborted();
    onPhase("sending", 0);
    const reply = await post(formOf(picture, wish), signal, onPhase);
    if (reply.status === 200) return reply.body;
    const mayRetry = retries < POLITE_RETRIES && reply.retryAfter > 0 && reply.retryAfter <= LONGEST_WAIT_S;
    if (!mayRetry) throw failureOf(reply);
    onPhase("retrying", reply.retryAfter);
    await pause(reply.retryAfter * 1000, signal);
  }
}

function failureOf({ status, body, retryAfter }) {
  const mayPass = status >= 500 || status === 429;
  return new Failure({ code: body.code, words: body.detail, key: "unreachable", mayPass, retryAfter });
}

function formOf({ blob, name }, wish) {
  const form = new FormData();
  form.append("file", blob, name);
  for (const [field, value] of Object.entries(wish)) form.append(field, value);
  return form;
}

// XMLHttpRequest, because fetch does not tell how much of an upload is through.
function post(form, signal, onPhase) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const unreachable = () => reject(new Failure({ key: "unreachable", mayPass: true }));
    request.open("POST", "/predict");
    request.setRequestHeader("Accept", "application/json, application/problem+json");
    request.upload.onprogress = ({ loaded, total }) => onPhase("sending", total ? loaded / total : 0);
    request.upload.onload = () => onPhase("looking");
    request.onload = () => resolve(replyOf(request));
    request.onerror = unreachable;
    request.onabort = () => reject(signal.reason);
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}

function replyOf(request) {
  let body = {};
  try {
    body = JSON.parse(request.responseText);
  } catch {
    // A proxy's own error page: the page's own sentence stands in.
  }
  const status = request.status === 200 && !body.results ? 502 : request.status;
  return { status, body, retryAfter: Number(request.getResponseHeader("Retry-After")) };
}

/** Wait; a given-up `signal` ends it with its reason. */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
  });
}
