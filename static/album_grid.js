// The photos of one class as a list of thumbnails to choose from: by pointer, by keyboard, by dragging.

import { isSelected, removePhotos, select, selected } from "./album_selection.js";
import { path } from "./album_state.js";
import { make } from "./dom.js";
import { say } from "./texts.js";

const SHOWN = 40; // the rest on demand, so that a class of hundreds does not bury the next one
export const DRAGGED = "application/x-wanwu-photos";

export class Grid {
  #items = new Map();
  #photos = [];
  #isWhole = false;
  #anchor = null;

  constructor(list, whole) {
    this.list = list;
    this.whole = whole;
    whole.addEventListener("click", () => this.showAll());
    list.addEventListener("click", (event) => this.#onClick(event));
    list.addEventListener("keydown", (event) => this.#onKey(event));
    list.addEventListener("dragstart", (event) => this.#onDrag(event));
  }

  get #shown() {
    return [...this.list.children];
  }

  showAll() {
    this.#isWhole = true;
    this.draw(this.#photos);
  }

  draw(photos) {
    this.#photos = photos;
    const shown = this.#isWhole ? photos : photos.slice(0, SHOWN);
    const focused = this.#shown.indexOf(document.activeElement);
    const items = shown.map((photo, place) => this.#item(photo, place));
    for (const id of this.#items.keys()) if (!photos.some((photo) => photo.id === id)) this.#items.delete(id);
    this.#place(items);
    this.list.hidden = photos.length === 0;
    this.whole.hidden = shown.length === photos.length;
    this.whole.textContent = say("teach_show_all", { n: photos.length });
    if (!items.some((item) => item.tabIndex === 0) && items[0]) items[0].tabIndex = 0;
    if (focused >= 0 && items.length > 0 && !items.includes(document.activeElement)) {
      this.#focus(items[Math.min(focused, items.length - 1)]);
    }
  }

  /** Only what moves is touched, so that focus and scrolling stay. */
  #place(items) {
    for (const item of this.#shown) if (!items.includes(item)) item.remove();
    items.forEach((item, place) => {
      if (this.list.children[place] !== item) this.list.insertBefore(item, this.list.children[place] ?? null);
    });
  }

  #item(photo, place) {
    if (!this.#items.has(photo.id)) {
      const image = make("img", { src: `${path}/photos/${photo.id}?size=small`, loading: "lazy", decoding: "async", alt: "", draggable: false });
      const item = make("li", { role: "option", tabIndex: -1, draggable: true, id: `photo-${photo.id}` }, image);
      item.dataset.photo = photo.id;
      this.#items.set(photo.id, item);
    }
    const item = this.#items.get(photo.id);
    item.setAttribute("aria-label", say("teach_photo_n", { n: place + 1 }));
    item.setAttribute("aria-selected", isSelected(photo.id));
    return item;
  }

  #onClick(event) {
    const item = event.target.closest("[data-photo]");
    if (!item) return;
    if (event.shiftKey && this.#anchor) this.#range(item);
    else {
      select([item.dataset.photo], !isSelected(item.dataset.photo));
      this.#anchor = item;
    }
    this.#focus(item);
  }

  #range(item) {
    const items = this.#shown;
    const [first, last] = [items.indexOf(this.#anchor), items.indexOf(item)].sort((a, b) => a - b);
    select(items.slice(Math.max(0, first), last + 1).map((one) => one.dataset.photo), true);
  }

  #onKey(event) {
    const items = this.#shown;
    const place = items.indexOf(event.target);
    if (place < 0) return;
    const columns = items.filter((item) => item.offsetTop === items[0].offsetTop).length;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -place, End: items.length };
    if (event.key in steps) {
      const next = items[Math.max(0, Math.min(items.length - 1, place + steps[event.key]))];
      if (event.shiftKey) {
        this.#anchor ??= event.target;
        this.#range(next);
      } else this.#anchor = next;
      this.#focus(next);
    } else if (event.key === " " || event.key === "Enter") this.#onClick(event);
    else if (event.key === "a" && (event.ctrlKey || event.metaKey)) select(this.#photos.map((photo) => photo.id), true);
    else if (event.key === "Delete" || event.key === "Backspace") {
      removePhotos(isSelected(event.target.dataset.photo) ? selected() : [event.target.dataset.photo]);
    } else return;
    event.preventDefault();
  }

  #focus(item) {
    for (const other of this.#shown) other.tabIndex = other === item ? 0 : -1;
    item.focus();
  }

  #onDrag(event) {
    const id = event.target.closest?.("[data-photo]")?.dataset.photo;
    if (!id) return;
    if (!isSelected(id)) select([id], true, true);
    event.dataTransfer.setData(DRAGGED, JSON.stringify(selected()));
    event.dataTransfer.effectAllowed = "move";
  }
}
