// Why a version was put into service, or was not: the comparison's JSON in a beginner's words.

import { classNamed, nameOf } from "./album_state.js";
import { say } from "./texts.js";

const SIGNIFICANT = 0.05;
const LARGE_CLASS = 20;
const MOST_LOST = 0.1;

/** The sentences on `facts`, the result of `models promote --json`; the first is the decision. */
export function verdictWords(facts) {
  if (facts.promoted) return promotedWords(facts);
  return facts.verdict.decision === "keep" ? keptWords(facts) : unsureWords(facts);
}

function promotedWords({ candidate, active, forced, verdict }) {
  const words = [say("teach_promoted", { candidate })];
  if (forced) words.push(say("teach_promoted_forced"));
  else words.push(say("teach_promoted_why", { active, ...scoreOf(verdict) }));
  return words;
}

function keptWords(facts) {
  const { candidate, active, verdict } = facts;
  const values = { candidate, active, ...scoreOf(verdict) };
  if (verdict.candidate.right <= verdict.active.right) {
    return [say("teach_kept_no_better", values), say("teach_kept_score", values), say("teach_kept_do")];
  }
  const broken = verdict.limits.filter((limit) => limit.standing === "broken");
  return [say("teach_kept_but", values), ...broken.map((limit) => brokenWords(limit.name, verdict)), say("teach_kept_do")];
}

function unsureWords({ candidate, active, verdict }) {
  const values = { candidate, active };
  if (verdict.n === 0) return [say("teach_unsure", values), say("teach_unsure_no_photos"), say("teach_unsure_do_ten")];
  const words = [say("teach_unsure", values), say("teach_unsure_score", { ...values, ...scoreOf(verdict) })];
  if (verdict.limits.some((limit) => limit.name === "elsewhere" && limit.standing === "unknown")) {
    words.push(say("teach_unsure_corrections", { more: verdict.more }));
  } else if (verdict.more === null) words.push(say("teach_unsure_level"));
  else words.push(say("teach_unsure_more", { more: verdict.more }));
  return words;
}

const scoreOf = ({ n, candidate, active }) => ({ n, right: candidate.right, other: active.right });

function brokenWords(name, verdict) {
  const milliseconds = { slow: Math.round(verdict.candidate.milliseconds), fast: Math.round(verdict.active.milliseconds) };
  return {
    calibration: () => say("teach_broken_calibration"),
    latency: () => say("teach_broken_latency", milliseconds),
    recall: () => say("teach_broken_recall", { things: lostIn(verdict).join(say("teach_comma")) }),
    elsewhere: () => say("teach_broken_elsewhere"),
  }[name]();
}

/** The classes that have lost, by the rule of the comparison. */
function lostIn({ classes }) {
  const lost = classes.filter((row) => {
    const fewer = (row.active ?? 0) - (row.candidate ?? 0);
    return (row.count >= LARGE_CLASS && fewer > MOST_LOST * row.count) || (fewer > 0 && row.p < SIGNIFICANT);
  });
  return lost.map((row) => say("teach_lost_in", {
    name: classNamed(row.label) ? nameOf(classNamed(row.label)) : row.label, right: row.candidate ?? 0, other: row.active ?? 0, n: row.count,
  }));
}
