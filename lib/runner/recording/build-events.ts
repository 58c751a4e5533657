/** What happens to builds, as events. */
import type { BuildId } from "../../scheduler/ids.js";
import type { EventBuild, EventEmitter } from "../events/index.js";
import type { BuildRegistry, EndedBuild } from "../state/build-registry.js";

/** Emits the events of builds that are in the registry. */
export class BuildEvents {
  readonly #events: EventEmitter;
  readonly #registry: Pick<BuildRegistry, "get">;
  readonly #now: () => number;

  constructor(options: {
    readonly events: EventEmitter;
    readonly registry: Pick<BuildRegistry, "get">;
    /** Milliseconds since the epoch. */
    readonly now: () => number;
  }) {
    this.#events = options.events;
    this.#registry = options.registry;
    this.#now = options.now;
  }

  started(builds: readonly BuildId[]): void {
    for (const id of builds) {
      const build = this.#about(id);
      if (build !== undefined) this.#events.emit({ type: "buildStarted", at: this.#now(), ...build });
    }
  }

  /** Call it before the build leaves the registry. */
  finished(
    id: BuildId,
    { status, finishedAt, durationMs, machine, cached }: Omit<EndedBuild, "build">,
  ): void {
    const build = this.#about(id);
    if (build === undefined) return;
    this.#events.emit({
      type: "buildFinished",
      at: finishedAt,
      ...build,
      status,
      durationMs,
      cached,
      ...(machine === undefined ? {} : { machine }),
    });
  }

  /** Call it before the build leaves the registry. */
  removed(id: BuildId): void {
    const build = this.#about(id);
    if (build !== undefined) this.#events.emit({ type: "buildRemoved", at: this.#now(), ...build });
  }

  #about(id: BuildId): EventBuild | undefined {
    const row = this.#registry.get(id);
    if (row === undefined) return undefined;
    return {
      build: id,
      project: row.project,
      jobset: row.jobsetName,
      job: row.job,
      drv: row.drv,
      queuedAt: row.takenAt,
    };
  }
}
