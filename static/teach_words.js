// Numbers in words.

import { say } from "./texts.js";

/** "1 photo", "12 photos". */
export function photosOf(n) {
  return n === 1 ? say("teach_photo") : say("teach_photos", { n });
}

/** "1 thing", "5 things". */
export function thingsOf(n) {
  return n === 1 ? say("teach_thing") : say("teach_things", { n });
}
