/**
 * How many builds are taken in together. The scheduler gets their steps in one turn of the event loop, so it is their
 * number that is bounded: few builds at the start of a queue, which bring most of the graph, and many when what they
 * need is there already.
 */

/** New steps of one batch, about. */
const stepsAtOnce = 500;
/** Builds of the first batch. */
const first = 8;

/** The size of the next batch, learned from those before it. */
export class BatchSize {
  #size = first;

  /** `most`: at least 1. */
  next(most: number): number {
    return Math.min(this.#size, most);
  }

  /** A batch of `builds` (at least 1) brought so many new steps. */
  took(builds: number, steps: number): void {
    const fitting = Math.floor((stepsAtOnce * builds) / Math.max(1, steps));
    this.#size = Math.max(1, Math.min(2 * builds, fitting));
  }
}
