// The page's sentences in both languages, and the switch between them.

export const pageData = JSON.parse(document.getElementById("page-data").textContent);

let language = pageData.language;

export const currentLanguage = () => language;
export const otherLanguage = () => (language === "zh" ? "en" : "zh");
export const languageTag = (code) => (code === "zh" ? "zh-CN" : "en");

/** The sentence `key` in the current language, with `{name}` filled from `values`. */
export function say(key, values = {}) {
  return fill(pageData.texts[key][language], values);
}

const BREEDS = new Set(["dog", "cat"]);

/** The name of a group where the class is not sure: "A dog, breed unsure". */
export function groupWords({ label, label_zh }) {
  if (language === "zh") return say("group_unsure", { group: label_zh });
  return say(BREEDS.has(label) ? "group_unsure_breed" : "group_unsure", { group: withArticle(label) });
}

const withArticle = (name) => `${/^[aeiou]/.test(name) ? "An" : "A"} ${name}`;

/** The sentence of an error `code`, or the server's own words where the page lacks a sentence or what fills it. */
export function sayError(code, serversWords, values = {}) {
  const sentence = pageData.errors[code]?.[language];
  const filled = sentence && fill(sentence, { ...pageData.limits, ...values });
  return filled && !filled.includes("{") ? filled : serversWords;
}

/** Put every marked element under `root` into the current language; its data attributes fill the sentence. */
export function relabel(root = document) {
  for (const element of root.querySelectorAll("[data-text]")) {
    element.textContent = say(element.dataset.text, element.dataset);
  }
  for (const attribute of ["aria-label", "content"]) {
    for (const element of root.querySelectorAll(`[data-text-${attribute}]`)) {
      element.setAttribute(attribute, say(element.getAttribute(`data-text-${attribute}`)));
    }
  }
  for (const option of root.querySelectorAll("option[data-zh]")) option.textContent = option.dataset[language];
}

/** Let the language links work in place, so that the pictures and their answers stay; `onChange` redraws those. */
export function watchLanguage(onChange) {
  for (const link of document.querySelectorAll("[data-language]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      switchTo(link.dataset.language);
      onChange();
    });
  }
}

function switchTo(code) {
  language = code;
  document.documentElement.lang = languageTag(code);
  document.cookie = `lang=${code}; path=/; max-age=31536000; samesite=lax`;
  history.replaceState(null, "", location.pathname);
  for (const link of document.querySelectorAll("[data-language]")) {
    if (link.dataset.language === code) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  relabel();
}

function fill(sentence, values) {
  return sentence.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}
