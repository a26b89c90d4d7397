// What the places behind the login say to the server.

import { Failure } from "./failure.js";
import { pageData, say } from "./texts.js";

/** Ask `/api`; `body` goes as JSON, or as the form that it is. The answer's JSON, or a Failure with words to show. */
export async function api(method, path, body = undefined, signal = undefined) {
  const isForm = body instanceof FormData;
  const headers = { Accept: "application/json, application/problem+json", "X-CSRF-Token": pageData.csrf };
  if (body !== undefined && !isForm) headers["Content-Type"] = "application/json";
  const reply = await fetch(path, {
    method, headers, signal, body: isForm || body === undefined ? body : JSON.stringify(body),
  }).catch((error) => {
    throw error.name === "AbortError" ? error : new Failure({ key: "unreachable", mayPass: true });
  });
  const content = await reply.json().catch(() => null);
  if (reply.ok && content !== null) return content;
  if (content?.code === "forbidden") throw new Failure({ code: content.code, key: "logged_out_meanwhile" });
  throw new Failure({ code: content?.code, words: content?.detail, key: "unreachable", mayPass: reply.status >= 500 });
}

/** Why something failed, for people. */
export function wordsOf(error) {
  if (!(error instanceof Failure)) throw error;
  return error.words || say(error.key ?? "unreachable");
}
