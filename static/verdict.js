// Why a version is better than another, or not: the verdict of a comparison in a beginner's words.

import { say } from "./texts.js";

const SIGNIFICANT = 0.05; // as training/verdict.py has it
const ENOUGH_OF_A_CLASS = 20;
const MOST_RECALL_LOST = 0.1;

/** What was decided, of `result`, what `models promote --json` or `retrain --json` prints: one sentence, or two. */
export function decisionOf({ candidate, active, promoted, forced }) {
  if (!promoted) return [say("verdict_kept", { candidate, active })];
  return [say("verdict_promoted", { candidate }), ...(forced ? [say("verdict_forced")] : [])];
}

/** The sentences that explain `result`, what `models promote --json` or `models compare --json` prints. */
export function explain(result, nameOfClass = (label) => label) {
  if (!result?.verdict || result.forced) return [];
  const { verdict } = result;
  const names = { candidate: result.candidate, active: result.active };
  if (!verdict.candidate) return [say("verdict_no_photos", names), ...unsaid(result)];
  return [score(verdict, names), ...reasons(verdict, names, nameOfClass)];
}

/** How two versions compare where nothing is decided: who has more right, and whether that is chance. */
export function explainSideBySide(result) {
  const { verdict } = result;
  const names = { candidate: result.candidate, active: result.active };
  if (!verdict.candidate) return [say("verdict_no_photos", names), ...unsaid(result)];
  const [first, second] = [verdict.candidate.right, verdict.active.right];
  const said = [score(verdict, names)];
  if (verdict.p < SIGNIFICANT) {
    const order = first > second ? names : { candidate: names.active, active: names.candidate };
    said.push(say("verdict_better", { ...order, p: shortP(verdict.p) }));
  }
  return said;
}

export const shortP = (p) => (p < 0.001 ? "0.001" : p.toPrecision(2));

function score({ n, candidate, active }, names) {
  return say("verdict_score", { ...names, n, right: candidate.right, other: active.right });
}

function reasons(verdict, names, nameOfClass) {
  if (verdict.decision === "promote") return [say("verdict_better", { ...names, p: shortP(verdict.p) })];
  if (verdict.decision === "keep") {
    if (verdict.candidate.right <= verdict.active.right) return [say("verdict_no_better", names)];
    return [say("verdict_harm", names), ...harms(verdict, names, nameOfClass)];
  }
  if (verdict.limits.some((limit) => limit.standing === "unknown")) {
    return [say("verdict_corrections_only", { more: verdict.more })];
  }
  const more = verdict.more === null ? say("verdict_no_more") : say("verdict_more", { more: verdict.more });
  return [say("verdict_chance", { p: shortP(verdict.p) }), more];
}

function harms({ limits, classes, candidate, active }, names, nameOfClass) {
  const broken = new Set(limits.filter((limit) => limit.standing === "broken").map((limit) => limit.name));
  const off = (side) => `${(side.calibration_error * 100).toFixed(1)}%`;
  const ms = (side) => side.milliseconds.toFixed(1);
  return [
    broken.has("calibration") && say("verdict_calibration", { ...names, first: off(candidate), second: off(active) }),
    broken.has("latency") && say("verdict_latency", { first: ms(candidate), second: ms(active) }),
    ...(broken.has("recall") ? classes.filter(isHurt) : []).map((row) => say("verdict_recall", {
      label: nameOfClass(row.label), n: row.count, first: row.candidate ?? 0, second: row.active ?? 0,
    })),
    broken.has("elsewhere") && say("verdict_elsewhere"),
  ].filter(Boolean);
}

function isHurt(row) {
  const lost = (row.active ?? 0) - (row.candidate ?? 0);
  return (row.count >= ENOUGH_OF_A_CLASS && lost > MOST_RECALL_LOST * row.count) || (lost > 0 && row.p < SIGNIFICANT);
}

const unsaid = (result) => (result.pictures?.unsaid ?? []).map((version) => say("verdict_unsaid", { version }));
