/** Shares the event loop while a long stream is decoded. */
import { performance } from "node:perf_hooks";
import { turn } from "../async/index.js";

/** Milliseconds of work before others get a turn. */
const turnMs = 10;

/** One piece of work that is done in turns. */
export class Turns {
  #began = performance.now();

  /** Called between small steps: lets timers and sockets have a turn when this work had its share. */
  async share(): Promise<void> {
    if (performance.now() - this.#began < turnMs) return;
    await this.next();
  }

  /** Lets timers and sockets have a turn. */
  async next(): Promise<void> {
    await turn();
    this.#began = performance.now();
  }
}
