/** Which steps the graph has to visit, in which order. */
import type { Step } from "./step.js";

/** Steps to visit, dependents before inputs, each at most once at a time. */
export class HeightQueue {
  readonly #levels: Step[][] = [];
  #top = 0;
  #size = 0;

  push(step: Step): void {
    if (step.dirty || step.removed) return;
    step.dirty = true;
    this.#insert(step);
  }

  /** The height of a step grew: if it waits here, it waits further up now. Its old entry is skipped. */
  raised(step: Step): void {
    if (step.dirty) this.#insert(step);
  }

  pop(): Step | undefined {
    while (this.#size > 0) {
      const step = this.#levels[this.#top]?.pop();
      if (step === undefined) {
        this.#top--;
        continue;
      }
      this.#size--;
      if (!step.dirty || step.height !== this.#top) continue;
      step.dirty = false;
      return step;
    }
    this.#top = 0;
    return undefined;
  }

  #insert(step: Step): void {
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
}
