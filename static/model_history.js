// What served and since when, put there by whom and why: the newest first.

import { make } from "./dom.js";
import { momentOf, share } from "./model_parts.js";
import { state } from "./model_state.js";
import { reasonOf, whoOf } from "./model_words.js";
import { say } from "./texts.js";

const list = document.getElementById("history");

const DONE = {
  first: () => say("models_did_first"),
  promote: ({ before }) => say("models_did_promote", { before: before ?? "–" }),
  rollback: ({ before }) => say("models_did_rollback", { before: before ?? "–" }),
  trial: () => say("models_did_trial"),
  trial_ended: () => say("models_did_trial_ended"),
  delete: () => say("models_did_delete"),
  threshold: ({ threshold }) => (threshold === null ? say("models_did_own_threshold")
    : say("models_did_threshold", { threshold: share(threshold, 0) })),
};

export function drawHistory() {
  list.replaceChildren(...[...state.history].reverse().map((event) => {
    const why = event.why ? reasonOf(event.why) : "";
    return make("li", { className: `event event-${event.action}` },
      make("time", { className: "quiet", dateTime: event.at }, momentOf(event.at)),
      make("div", {},
        make("p", {}, make("strong", {}, event.version), " ", DONE[event.action]?.(event) ?? event.action,
          event.forced ? make("span", { className: "tag" }, say("models_forced")) : null),
        make("p", { className: "hint" }, whoOf(event.by), why ? say("models_why", { why }) : null)));
  }));
}
