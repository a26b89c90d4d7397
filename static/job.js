// A job followed from its first event to its end, whatever becomes of the connection meanwhile.

import { api } from "./api.js";

const SHORTEST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 5000;
const SILENCE_MS = 30_000; // no stream lasts so long: one that says neither a word nor goodbye is dead

/** Follow the job `id`. Each event goes to `onEvent` once, in order, from the job's beginning; the job itself, once it
 *  has ended, to `onEnd`; whether the server answers, to `onConnection`, as that changes; to `onFailure` why the job can
 *  be followed no longer: it is forgotten, or nobody is logged in any more. `stop()` lets go of it. */
export function followJob(id, { onEvent, onEnd, onConnection = () => {}, onFailure = () => {} }) {
  let last = 0;
  let wait = 0;
  let isThere = true;
  let isStopped = false;
  let stream = null;
  let timer = null;

  function connect() {
    letGo();
    if (isStopped) return;
    let isOpen = false;
    stream = new EventSource(`/api/jobs/${encodeURIComponent(id)}/events?after=${last}`);
    stream.onopen = () => {
      isOpen = true;
      wait = 0;
      tell(true);
    };
    stream.onmessage = (message) => take(message, onEvent);
    stream.addEventListener("end", (message) => {
      stop();
      take(message, onEnd);
    });
    stream.onerror = () => {
      letGo();
      if (isOpen) timer = setTimeout(connect, 0); // it has said what it had to: the next one goes on from there
      else lookCloser();
    };
    timer = setTimeout(connect, SILENCE_MS);
  }

  // A stream does not tell why it failed; this does: the job is unknown, the server is away, or it is only busy.
  async function lookCloser() {
    wait = Math.min(LONGEST_WAIT_MS, Math.max(SHORTEST_WAIT_MS, wait * 2));
    try {
      await api("GET", `/api/jobs/${encodeURIComponent(id)}`);
      tell(true);
    } catch (error) {
      if (isStopped) return;
      if (!error.mayPass) {
        stop();
        onFailure(error);
        return;
      }
      tell(false);
    }
    if (!isStopped && !stream) timer = setTimeout(connect, wait);
  }

  function take(message, handle) {
    last = Number(message.lastEventId);
    handle(JSON.parse(message.data));
  }

  function tell(now) {
    if (now === isThere || isStopped) return;
    isThere = now;
    onConnection(now);
  }

  function letGo() {
    stream?.close();
    stream = null;
    clearTimeout(timer);
  }

  function stop() {
    isStopped = true;
    letGo();
    window.removeEventListener("offline", noticeLoss);
    window.removeEventListener("online", connect);
  }

  function noticeLoss() {
    tell(false);
    connect();
  }

  window.addEventListener("offline", noticeLoss);
  window.addEventListener("online", connect);
  connect();
  return { stop };
}
