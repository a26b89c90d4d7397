// The queue as a grid of cards, one of which is current: the arrow keys move from card to card.

const SIDEWAYS = { ArrowLeft: -1, ArrowRight: 1 };
const UP_AND_DOWN = { ArrowUp: -1, ArrowDown: 1 };

export class Grid {
  cards = [];
  current = null;

  constructor(element) {
    this.element = element;
    element.addEventListener("focusin", (event) => {
      const card = this.cards.find((one) => one.element.contains(event.target));
      if (card) this.setCurrent(card);
    });
  }

  /** Put cards in their places, oldest first; one of an entry that is there already takes its place. */
  add(cards) {
    for (const card of cards) {
      const before = this.cards.find((one) => one.entry.id === card.entry.id);
      if (before) this.drop(before);
      const place = this.cards.findIndex((one) => isEarlier(card.entry, one.entry));
      const next = place < 0 ? null : this.cards[place];
      this.element.insertBefore(card.element, next?.element ?? null);
      this.cards.splice(place < 0 ? this.cards.length : place, 0, card);
    }
    if (!this.current && this.cards.length > 0) this.setCurrent(this.cards[0]);
    this.element.hidden = this.cards.length === 0;
  }

  /** Take a card out; the one after it is current then, or the last. */
  drop(card) {
    const place = this.cards.indexOf(card);
    if (place < 0) return;
    this.cards.splice(place, 1);
    card.vanish();
    if (this.current === card) this.setCurrent(this.cards[Math.min(place, this.cards.length - 1)] ?? null);
    if (this.cards.length === 0) this.element.hidden = true;
  }

  clear() {
    this.element.replaceChildren();
    Object.assign(this, { cards: [], current: null });
    this.element.hidden = true;
  }

  setCurrent(card) {
    this.current?.setCurrent(false);
    this.current = card;
    card?.setCurrent(true);
  }

  /** Where a key leads from the current card; whether it is a key that leads anywhere. */
  move(key) {
    const from = this.cards.indexOf(this.current);
    const last = this.cards.length - 1;
    let to = null;
    if (key in SIDEWAYS) to = from + SIDEWAYS[key];
    else if (key in UP_AND_DOWN) to = from + UP_AND_DOWN[key] * this.columns();
    else if (key === "Home") to = 0;
    else if (key === "End") to = last;
    if (to === null) return false;
    if (to > last && key === "ArrowDown" && this.row(last) > this.row(from)) to = last; // a last row that is shorter
    this.cards[to]?.focus();
    return true;
  }

  columns() {
    const tops = this.cards.map((card) => card.element.offsetTop);
    return tops.filter((top) => top === tops[0]).length;
  }

  row(place) {
    return Math.floor(place / this.columns());
  }
}

const isEarlier = (one, other) => one.created < other.created || (one.created === other.created && one.id < other.id);
