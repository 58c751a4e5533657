/** Which builds were announced as started: once for each build and try, not for each of its steps. */
import { BoundedMap } from "../../async/index.js";
import type { BuildId } from "../../scheduler/ids.js";

const kept = 200_000;

/** The builds announced as started, most recent 200,000. */
export class AnnouncedBuilds {
  readonly #ids = new BoundedMap<BuildId, true>({ capacity: kept });

  /** Those of the builds that were not announced yet; they count as announced now. */
  take(builds: readonly BuildId[]): BuildId[] {
    const fresh = [...new Set(builds)].filter((build) => !this.#ids.has(build));
    for (const build of fresh) this.#ids.set(build, true);
    return fresh;
  }

  /** The build ended; another try is announced again. */
  forget(builds: readonly BuildId[]): void {
    for (const build of builds) this.#ids.delete(build);
  }
}
