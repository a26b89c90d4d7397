// "Not right?" under an answer: the right name goes to the server, and is changed or taken back while the page is open.

import { Failure } from "./failure.js";
import { nameOf } from "./decision.js";
import { currentLanguage, say, sayError } from "./texts.js";

const THANKS = { label: "correction_thanks", new: "correction_thanks_new", none: "correction_thanks_none" };

let nextNumber = 0;

export class Correction {
  element;
  form;
  answer = null;
  saved = null;
  isTakenBack = false;
  failure = null;

  /** `element`: the card's `.correction`; `picture()` promises what to send where the photo may be kept. */
  constructor(element, picture) {
    this.element = element;
    this.picture = picture;
    this.form = element.querySelector("form");
    this.numberFields();
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send(event.submitter);
    });
    this.part("details").addEventListener("toggle", () => this.offerLabels());
    this.part(".change").addEventListener("click", () => this.change());
    this.part(".undo").addEventListener("click", () => this.undo());
  }

  part(selector) {
    return this.element.querySelector(selector);
  }

  // Labels and hints find their field by its id, and a page has many cards.
  numberFields() {
    const [input, hint] = [this.form.elements.label, this.part(".hint")];
    nextNumber += 1;
    this.part("label[for]").htmlFor = input.id = `correction-${nextNumber}`;
    input.setAttribute("aria-describedby", hint.id = `correction-hint-${nextNumber}`);
  }

  draw(answer) {
    if (answer !== this.answer) this.begin(answer);
    this.element.hidden = !answer;
    this.part("details").hidden = this.saved !== null;
    this.part(".after").hidden = this.saved === null;
    this.part(".said").textContent = this.sentence();
    this.part(".trouble").textContent = this.failure ? sayError(this.failure.code, this.failure.words) ?? "" : "";
    if (answer && this.part("details").open) this.offerLabels();
  }

  begin(answer) {
    Object.assign(this, { answer, saved: null, isTakenBack: false, failure: null });
    this.form.reset();
    this.part("details").open = false;
  }

  sentence() {
    if (this.isTakenBack) return say("correction_undone");
    if (!this.saved) return "";
    const thanks = say(THANKS[this.saved.kind], { name: nameOf(this.saved, currentLanguage()) });
    if (!this.form.elements.keep) return thanks;
    const fate = say(this.saved.picture === "kept" ? "correction_kept" : "correction_not_kept");
    return [thanks, fate].join(currentLanguage() === "zh" ? "" : " ");
  }

  async send(button) {
    const sent = this.answer;
    const saved = await this.attempt(async () => post("/corrections", await this.body(button)));
    if (!saved || sent !== this.answer) return;
    this.saved = saved;
    this.draw(sent);
    this.part(".change").focus();
  }

  change() {
    this.saved = null;
    this.draw(this.answer);
    this.part("details").open = true;
    this.form.elements.label.focus();
  }

  async undo() {
    const sent = this.answer;
    const undone = await this.attempt(() => post(`/corrections/${this.saved.id}/undo`));
    if (sent !== this.answer) return;
    if (!undone) { // the reason stands in the form
      this.change();
      return;
    }
    this.begin(sent);
    this.isTakenBack = true;
    this.draw(sent);
    this.part("summary").focus();
  }

  /** What `job` promises, or null where it fails; nothing is sent twice by a second press. */
  async attempt(job) {
    if (this.element.hasAttribute("data-sending")) return null;
    this.element.toggleAttribute("data-sending", true);
    Object.assign(this, { failure: null, isTakenBack: false });
    try {
      return await job();
    } catch (error) {
      this.failure = error instanceof Failure ? error : new Failure({ words: say("unreachable") });
      return null;
    } finally {
      this.element.toggleAttribute("data-sending", false);
      this.draw(this.answer);
    }
  }

  async body(button) {
    const body = new FormData(this.form, button);
    const { request_id, mode, model, results: [result] } = this.answer;
    const answered = {
      request_id, mode, version: model.version, answer: result.label, confidence: result.top[0].confidence,
      sureness: result.sureness,
    };
    for (const [name, value] of Object.entries(answered)) body.set(name, value);
    if (body.has("keep")) {
      const { blob, name } = await this.picture();
      body.set("file", blob, name);
    }
    return body;
  }

  /** Let the field suggest the names of the mode that answered, in the page's language. */
  async offerLabels() {
    if (!this.answer) return;
    const list = await listOf(this.answer.mode, currentLanguage()).catch(() => null);
    if (list) this.form.elements.label.setAttribute("list", list.id);
  }
}

const lists = new Map();

/** The `<datalist>` of a mode, made when first asked for. */
function listOf(mode, language) {
  const key = `${mode} ${language}`;
  if (!lists.has(key)) {
    const made = makeList(mode, language, `labels-${lists.size}`);
    made.catch(() => lists.delete(key)); // so that the next one asks again
    lists.set(key, made);
  }
  return lists.get(key);
}

async function makeList(mode, language, id) {
  const { modes } = await (await fetch("/modes")).json();
  const list = Object.assign(document.createElement("datalist"), { id });
  const labels = modes.find((one) => one.key === mode)?.labels ?? [];
  list.append(...labels.map((label) => Object.assign(document.createElement("option"), { value: nameOf(label, language) })));
  document.body.append(list);
  return list;
}

async function post(path, body) {
  const reply = await fetch(path, { method: "POST", body, headers: { Accept: "application/json, application/problem+json" } });
  const content = await reply.json();
  if (!reply.ok) throw new Failure({ code: content.code, words: content.detail });
  return content;
}
