/**
 * Loaded into a program under measurement (`NODE_OPTIONS=--import=…`): writes the longest block of its event loop since
 * the last line, in milliseconds of processor time, to `PROBE_FILE` four times a second.
 */
import { appendFileSync, readFileSync } from "node:fs";

const file = process.env.PROBE_FILE;
const used = (): number =>
  Number(readFileSync(`/proc/${process.pid}/task/${process.pid}/schedstat`, "latin1").split(" ")[0]) / 1e6;

let longest = 0;
let seen = used();

if (file !== undefined) {
  setInterval(() => {
    const now = used();
    longest = Math.max(longest, now - seen);
    seen = now;
  }, 8).unref();
  setInterval(() => {
    appendFileSync(file, `${longest.toFixed(1)}\n`);
    longest = 0;
  }, 250).unref();
}
