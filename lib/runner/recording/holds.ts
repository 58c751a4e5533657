/** Builds under way to the database: the queue monitor leaves them alone until they have arrived. */
import type { BuildId } from "../../scheduler/ids.js";

/** Counts holds of builds. */
export class Holds {
  readonly #counts = new Map<BuildId, number>();
  /** These were asked for while they were held. */
  readonly #missed = new Set<BuildId>();

  hold(builds: readonly BuildId[]): void {
    for (const build of builds) this.#counts.set(build, (this.#counts.get(build) ?? 0) + 1);
  }

  /** Undoes one `hold` of the same builds. Returns those that are free now and were asked for meanwhile. */
  release(builds: readonly BuildId[]): BuildId[] {
    const missed: BuildId[] = [];
    for (const build of builds) {
      const left = (this.#counts.get(build) ?? 0) - 1;
      if (left > 0) this.#counts.set(build, left);
      else {
        this.#counts.delete(build);
        if (this.#missed.delete(build)) missed.push(build);
      }
    }
    return missed;
  }

  /** Whether the build is to be left alone; `release` then returns it when it is free again. */
  has(build: BuildId): boolean {
    if (!this.#counts.has(build)) return false;
    this.#missed.add(build);
    return true;
  }
}
