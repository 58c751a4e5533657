import type { Step } from "./step.js";

/** Steps to visit, dependents before inputs, each at most once at a time. */
export class HeightQueue {
  readonly #levels: Step[][] = [];
  #top = 0;
  #size = 0;

  push(step: Step): void {
    if (step.dirty || step.removed) return;
    step.dirty = true;
    let level = this.#levels[step.height];
    if (level === undefined) {
      level = [];
      for (let h = this.#levels.length; h < step.height; h++) this.#levels[h] = [];
      this.#levels[step.height] = level;
    }
    level.push(step);
    this.#size++;
    if (step.height > this.#top) this.#top = step.height;
  }

  pop(): Step | undefined {
    if (this.#size === 0) {
      this.#top = 0;
      return undefined;
    }
    for (;;) {
      const step = this.#levels[this.#top]?.pop();
      if (step !== undefined) {
        this.#size--;
        step.dirty = false;
        return step;
      }
      this.#top--;
    }
  }
}
