// What a camera sees over time: an answer that neither jumps nor lags.

const MEMORY_S = 1; // after so long an old answer counts for 37 %
const FORGOTTEN = 0.001;

/** An exponential average of probabilities, each list given its weight by the time since the one before. */
export class Smoothing {
  entries = new Map(); // class index to its entry, with the averaged confidence
  last = null;

  reset() {
    this.entries.clear();
    this.last = null;
  }

  /** Take in the `top` of an answer at `seconds`; returns the averaged entries, best first. A class not listed counts
   *  as 0: of ten listed, it is next to nothing. */
  add(top, seconds) {
    const kept = this.last === null ? 0 : Math.exp(-(seconds - this.last) / MEMORY_S);
    this.last = seconds;
    for (const [index, entry] of this.entries) {
      this.entries.set(index, { ...entry, confidence: entry.confidence * kept });
    }
    for (const entry of top) {
      const before = this.entries.get(entry.index)?.confidence ?? 0;
      this.entries.set(entry.index, { ...entry, confidence: before + (1 - kept) * entry.confidence });
    }
    for (const [index, { confidence }] of this.entries) if (confidence < FORGOTTEN) this.entries.delete(index);
    return [...this.entries.values()].sort((one, other) => other.confidence - one.confidence);
  }
}
