/**
 * Loaded into a program under measurement (`NODE_OPTIONS=--import=…`): writes the longest block of its event loop since
 * the last line, in milliseconds of processor time, to `PROBE_FILE` four times a second.
 */
import { appendFileSync } from "node:fs";
import { threadMs } from "../test/support/longest-turn.js";

const file = process.env.PROBE_FILE;

let longest = 0;
let seen = threadMs();

if (file !== undefined) {
  setInterval(() => {
    const now = threadMs();
    longest = Math.max(longest, now - seen);
    seen = now;
  }, 8).unref();
  setInterval(() => {
    appendFileSync(file, `${longest.toFixed(1)}\n`);
    longest = 0;
  }, 250).unref();
}
