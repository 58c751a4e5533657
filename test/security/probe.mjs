// Loaded into a program under attack (`node --import`): writes how long its event loop was kept, and its memory.
import { appendFileSync, readFileSync } from "node:fs";

const file = process.env.PROBE_FILE;
const schedule = `/proc/${process.pid}/task/${process.pid}/schedstat`;
/** Milliseconds of processor time of the main thread: other processes and threads do not lengthen them. */
const used = () => Number(readFileSync(schedule, "latin1").split(" ")[0]) / 1e6;

let gap = 0;
let memory = 0;
let seen = used();
const look = () => {
  const now = used();
  gap = Math.max(gap, now - seen);
  seen = now;
  memory = Math.max(memory, process.memoryUsage.rss());
};
const write = () => {
  appendFileSync(file, `${gap.toFixed(1)} ${memory}\n`);
  gap = 0;
  memory = 0;
};
if (file !== undefined) {
  setInterval(look, 5).unref();
  setInterval(write, 50).unref();
}
