// What the server says of the mode, as it was last asked.

import { api } from "./api.js";
import { BUILT_IN } from "./model_parts.js";
import { pageData } from "./texts.js";

export const path = `/api/modes/${encodeURIComponent(pageData.mode)}`;

/** `record`: its versions, null for the base mode; `served`: as it is served now, null where it is not. */
export const state = { record: null, served: null, history: [], title: { en: "", zh: "" }, labels: [] };

export const isBase = BUILT_IN.includes(pageData.mode);
export const versionPath = (version) => `${path}/versions/${encodeURIComponent(version)}`;
export const versionOf = (name) => state.record?.versions.find(({ version }) => version === name) ?? null;
export const active = () => versionOf(state.record?.active);
export const whole = () => state.record.versions.filter(({ complete }) => complete);

/** Ask anew. */
export async function load() {
  const [modes, record, events] = await Promise.all([
    api("GET", "/modes"),
    isBase ? null : api("GET", path),
    isBase ? { history: [] } : api("GET", `${path}/history`).catch(() => ({ history: [] })),
  ]);
  const served = modes.modes.find(({ key, available }) => key === pageData.mode && available) ?? null;
  const title = served?.title ?? active()?.title ?? record?.versions.at(-1)?.title;
  const fallback = { en: pageData.mode, zh: pageData.mode };
  Object.assign(state, { record, served, history: events.history, title: title ?? fallback, labels: served?.labels ?? [] });
}

/** Whether the server has still to follow what is written down, as it does within two seconds. */
export const lags = () => Boolean(state.record?.active) && state.served?.model.version !== state.record.active;

/** Something has been done: let every part of the page be drawn anew. */
export const changed = () => document.dispatchEvent(new Event("model-changed"));

/** What a class is called for people, by its own name. */
export function classNamed(label) {
  const found = state.labels.find((one) => one.label === label);
  return (pageData.language === "zh" && found?.label_zh) || label;
}

/** The report of a version as facts; null where it has none. Versions never change, so it is asked once. */
const reports = new Map();
export function reportOf(version) {
  if (!reports.has(version)) {
    reports.set(version, api("GET", `${versionPath(version)}/report.json`).catch(() => null));
  }
  return reports.get(version);
}
