// The queue of one tab and mode: read page by page, decided card by card.

import { api, wordsOf } from "./api.js";
import { Decisions, send } from "./review_decisions.js";
import { EntryCard } from "./review_entry.js";
import { Grid } from "./review_grid.js";
import { say } from "./texts.js";

const PAGE = 24;
const DID = { accept: "review_did_accept", relabel: "review_did_accept", reject: "review_did_reject" };
const QUICKER = ["conflict", "not_found"]; // codes of the server that mean: somebody else was

export class Queue {
  status = "pending";
  mode = "";
  after = null; // leads to the next page; null where there is none
  isLoading = false;
  turn = 0;

  /** `titleOf(mode)`: what to call it on a card, "" where that goes without saying. Told of what happens: `onDraw()`,
   *  `onDecided()` (the server has taken something in), `onSaid(words)`, `onError(error)` (null: all is well again). */
  constructor(element, { titleOf, onDraw, onDecided, onSaid, onError }) {
    Object.assign(this, { titleOf, onDraw, onDecided, onSaid, onError });
    this.grid = new Grid(element);
    this.decisions = new Decisions((decision, error) => this.takeBack(decision, error));
  }

  get isEmpty() {
    return this.grid.cards.length === 0 && this.after === null;
  }

  /** Draw it from its beginning. */
  async show(status, mode) {
    Object.assign(this, { status, mode, after: "", turn: this.turn + 1 });
    this.grid.clear();
    await this.loadMore();
  }

  async loadMore() {
    if (this.after === null || this.isLoading) return;
    const { turn, after, status, mode } = this;
    this.isLoading = true;
    this.onDraw();
    try {
      const page = await api("GET", `/api/corrections?${new URLSearchParams({ status, mode, after, limit: PAGE })}`);
      if (turn === this.turn) {
        this.grid.add(page.entries.map((entry) => this.cardOf(entry)));
        this.after = page.after;
        this.onError(null);
      }
    } catch (error) {
      this.onError(error);
    } finally {
      this.isLoading = false;
      this.onDraw();
    }
    if (turn !== this.turn) await this.loadMore(); // another tab was chosen meanwhile
  }

  cardOf(entry) {
    return new EntryCard(entry, {
      modeTitle: this.mode ? "" : this.titleOf(entry.mode),
      act: (card, action, label) => this.act(card, action, label),
    });
  }

  holds(entry) {
    return this.status === entry.status && (!this.mode || this.mode === entry.mode);
  }

  /** What a press of a card's button means, or a key. A decided card leaves at once, and comes back if that failed. */
  act(card, action, typed) {
    if (action === "relabel" && typed === undefined) card.ask();
    else if (action === "undo") this.putBack(card);
    else {
      if (action !== "dismiss") this.decide(card, action, typed);
      this.leave(card);
    }
  }

  decide(card, action, typed) {
    const decision = this.decisions.make(card.entry, action, typed === undefined ? undefined : card.storedLabel(typed));
    decision.name = typed?.trim() ?? card.name;
    this.onSaid(say(DID[action], { name: decision.name }));
    decision.after.then((after) => after && this.onDecided());
  }

  /** A card goes, and the focus to the one after it; without one, to the button that takes it back. */
  leave(card) {
    const hadFocus = card.element.contains(document.activeElement);
    this.grid.drop(card);
    this.onDraw();
    if (hadFocus) (this.grid.current ?? document.querySelector("#undo")).focus();
  }

  /** A decision did not come to be: its entry comes back with the reason, as it is by now. */
  async takeBack(decision, error) {
    const wasQuicker = QUICKER.includes(error.code);
    const entry = wasQuicker ? await fresh(decision.entry) : decision.entry;
    const card = this.cardOf(entry);
    card.explain(wasQuicker ? card.saidOfIt() : wordsOf(error));
    if (this.holds(decision.entry)) this.grid.add([card]);
    this.onSaid(say("review_did_not", { name: decision.name, why: card.trouble }));
    if (!wasQuicker) this.onError(error);
    this.onDraw();
  }

  /** An entry that was decided goes back among those that wait. */
  async putBack(card) {
    this.decisions.forget(card.entry.id);
    try {
      const entry = await send(card.entry, "undo");
      this.onSaid(say("review_did_undo", { name: card.name }));
      this.leave(card);
      if (this.holds(entry)) this.grid.add([this.cardOf(entry)]);
      this.onDecided();
    } catch (error) {
      card.entry = QUICKER.includes(error.code) ? await fresh(card.entry) : card.entry;
      card.explain(wordsOf(error));
      this.onError(QUICKER.includes(error.code) ? null : error);
    }
    this.onDraw();
  }

  /** Take the last decision back, and go to its card. */
  async undo() {
    try {
      const entry = await this.decisions.undo();
      if (!entry) return;
      const card = this.cardOf(entry);
      this.onSaid(say("review_did_undo", { name: card.name }));
      this.onDecided();
      if (!this.holds(entry)) return;
      this.grid.add([card]);
      this.onDraw();
      card.focus();
    } catch (error) {
      this.onError(error);
    } finally {
      this.onDraw();
    }
  }
}

/** The entry as it is by now. */
function fresh(entry) {
  const gone = { ...entry, status: "gone" };
  return api("GET", `/api/corrections/${entry.id}`).catch((error) => (error.code === "not_found" ? gone : entry));
}
