// What went wrong, in a form that can be told.

/** Why there is no answer: a code of the server with its words, or the key of a sentence of the page; trouble that
 *  `mayPass` is worth another try, in `retryAfter` seconds where the server said so. */
export class Failure extends Error {
  constructor({ code = null, words = "", key = null, mayPass = false, retryAfter = 0 }) {
    super(words || key || code);
    Object.assign(this, { code, words, key, mayPass, retryAfter });
  }
}
