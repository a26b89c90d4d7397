// What was decided on this page: sent at once, taken back step by step.

import { api } from "./api.js";

export class Decisions {
  made = [];

  /** `onFailure(decision, error)`: it did not come to be, and its entry belongs back on the page. */
  constructor(onFailure) {
    this.onFailure = onFailure;
  }

  get canUndo() {
    return this.made.length > 0;
  }

  /** Send it; `after` of the decision promises the entry as it is then, or null where it failed. */
  make(entry, action, label) {
    const decision = { entry, action, label };
    decision.after = send(entry, action, label).catch((error) => {
      this.forget(entry.id);
      this.onFailure(decision, error);
      return null;
    });
    this.made.push(decision);
    return decision;
  }

  /** Take the last one back: promises the entry as it is again, or null where there was nothing to take back. */
  async undo() {
    const decision = this.made.pop();
    const after = await decision?.after;
    if (!after) return null;
    try {
      return await send(after, "undo");
    } catch (error) {
      if (error.mayPass) this.made.push(decision);
      throw error;
    }
  }

  /** Nothing of this entry is taken back any more. */
  forget(id) {
    this.made = this.made.filter((decision) => decision.entry.id !== id);
  }
}

/** Decide about an entry: promises it as it is then. */
export function send(entry, action, label = undefined) {
  return api("POST", `/api/corrections/${entry.id}`, { action, label, revision: entry.revision });
}
