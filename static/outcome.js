// What came of comparing a new version with the one in service, in words for whoever waited for it.

import { say } from "./texts.js";

const LIMITS = {
  calibration: "outcome_calibration", latency: "outcome_latency", recall: "outcome_recall", elsewhere: "outcome_elsewhere",
};

/** The sentences, the decision first, of the JSON that `promote` and `retrain` print. */
export function outcomeWords(result) {
  const { candidate, active, promoted, verdict } = result;
  const decided = promoted ?? verdict.decision === "promote";
  return [
    say(decided ? "outcome_promoted" : "outcome_kept", { candidate, active }),
    ...reasons(result),
    ...learned(result),
  ];
}

function reasons({ candidate, active, verdict }) {
  const { n, more, limits } = verdict;
  if (n === 0) return [say("outcome_no_photos", { candidate, active })];
  const score = say("outcome_score", { n, candidate, active, right: verdict.candidate.right, before: verdict.active.right });
  if (verdict.decision === "promote") return [score];
  const broken = limits.filter((limit) => limit.standing === "broken").map((limit) => say(LIMITS[limit.name], { active }));
  if (verdict.candidate.right <= verdict.active.right) return [score, say("outcome_no_better")];
  if (broken.length > 0) return [score, ...broken];
  if (limits.some((limit) => limit.standing === "unknown")) return [score, say("outcome_corrections_only", { active, more })];
  return [score, more === null ? say("outcome_chance") : say("outcome_chance_more", { more })];
}

/** What a retraining had to learn from. */
function learned({ photos, new_classes: classes }) {
  if (!photos) return [];
  const [begun, few] = [Object.keys(classes.begun), Object.keys(classes.too_few)];
  return [
    say("outcome_learned", { corrected: photos.corrected, photos: photos.train + photos.validation + photos.test }),
    begun.length > 0 ? say("outcome_begun", { names: listed(begun) }) : "",
    few.length > 0 ? say("outcome_too_few", { names: listed(few) }) : "",
    photos.gone > 0 ? say("outcome_gone", { count: photos.gone }) : "",
  ].filter(Boolean);
}

const listed = (names) => names.join(say("outcome_and"));
