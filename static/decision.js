// What an answer means under the threshold of the moment; the server is not asked again.

/** Whether the mode is not sure enough to name it. */
export function isUnknown(result, threshold) {
  return result.sureness < threshold;
}

/** What may be named: the "class", its "group" where only that is sure enough, or null. */
export function levelOf(result, threshold) {
  if (!isUnknown(result, threshold)) return "class";
  const { group } = result;
  return group && group.confidence >= Math.max(threshold, group.threshold) ? "group" : null;
}

/** Whether the mode says how sure it is by something else than its best guess's share. */
export function isApart(result) {
  return Math.abs(result.sureness - result.top[0].confidence) > 1e-5;
}

/** An entry's name in `language`, short where there is a short one. */
export function nameOf(entry, language) {
  return (language === "zh" && entry.label_zh) || entry.label_short || entry.label;
}

/** A share for people: never "100%" unless it is, and never rounded up across the threshold that it missed. */
export function percent(share, threshold = null) {
  if (share >= 1) return "100%";
  if (share > 0.99) return ">99%";
  if (share > 0 && share < 0.01) return "<1%";
  const rounded = Math.floor(share * 100 + 0.5);
  const crosses = threshold !== null && share < threshold && threshold <= rounded / 100;
  return crosses ? `${(Math.floor(share * 1000) / 10).toFixed(1)}%` : `${rounded}%`;
}
