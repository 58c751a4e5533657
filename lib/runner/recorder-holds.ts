/** Builds under way to the database: the queue monitor leaves them alone until they have arrived. */
import type { BuildId } from "../scheduler/ids.js";

export class Holds {
  readonly #counts = new Map<BuildId, number>();

  hold(builds: readonly BuildId[]): void {
    for (const build of builds) this.#counts.set(build, (this.#counts.get(build) ?? 0) + 1);
  }

  /** Undoes one `hold` of the same builds. */
  release(builds: readonly BuildId[]): void {
    for (const build of builds) {
      const left = (this.#counts.get(build) ?? 0) - 1;
      if (left > 0) this.#counts.set(build, left);
      else this.#counts.delete(build);
    }
  }

  has(build: BuildId): boolean {
    return this.#counts.has(build);
  }
}
