/**
 * Adoption of builds that builders kept going while there was no runner.
 *
 * A build is adopted when its step is wanted and free. One that is not wanted is aborted, but not before the queue is
 * in memory and the session's adoption deadline is over: a step may become known a little later, when another one is
 * resolved to it.
 */
import type { Logger } from "../../log.js";
import { attemptId, stepId } from "../../scheduler/ids.js";
import type { QueueMonitor } from "../ingestion/queue-monitor.js";
import type { RunningScheduler } from "../state/running-scheduler.js";
import type { BuilderSession, BuilderSessions } from "./builder-sessions.js";
import type { AttemptLauncher } from "./launcher.js";
import type { ResumedBuild } from "./resumed-build.js";

/** What adoption works with. */
export interface AdoptionOptions {
  readonly scheduler: RunningScheduler;
  readonly sessions: BuilderSessions;
  readonly launcher: Pick<AttemptLauncher, "adopt">;
  readonly monitor: Pick<QueueMonitor, "loaded">;
  readonly logger: Logger;
}

/** Decides on the builds that builders joined with. */
export class Adoption {
  readonly #scheduler: RunningScheduler;
  readonly #sessions: BuilderSessions;
  readonly #launcher: AdoptionOptions["launcher"];
  readonly #monitor: AdoptionOptions["monitor"];
  readonly #logger: Logger;

  constructor({ scheduler, sessions, launcher, monitor, logger }: AdoptionOptions) {
    this.#scheduler = scheduler;
    this.#sessions = sessions;
    this.#launcher = launcher;
    this.#monitor = monitor;
    this.#logger = logger;
  }

  /** Decides as far as possible now. Part of each dispatch round, before steps are assigned. */
  adoptWanted(): void {
    for (const session of this.#sessions.all()) {
      const mayAppear = !this.#monitor.loaded || this.#scheduler.now() < session.adoptionDeadline;
      for (const resumed of session.resumed) {
        if (resumed.state === "unmatched") this.#decide(session, resumed, mayAppear);
      }
    }
  }

  /** `mayAppear`: a step that is not known now may become known. */
  #decide(session: BuilderSession, resumed: ResumedBuild, mayAppear: boolean): void {
    const { build } = resumed;
    const { hostname } = session.join;
    const step = stepId(build.drv);
    const assignment = this.#scheduler.adoptAttempt({
      attempt: attemptId(build.buildId),
      step,
      machine: session.id,
      ageMs: build.ageMs,
    });
    if (assignment !== undefined) {
      this.#logger.info("running build taken over", { drv: build.drv, hostname });
      resumed.adopting();
      void this.#launcher.adopt(assignment).then(() => resumed.settle());
      return;
    }
    if (mayAppear && !this.#scheduler.view.hasStep(step)) return;
    this.#logger.info("running build not wanted", { drv: build.drv, hostname });
    this.#sessions.send(session.id, { kind: "abort", buildId: build.buildId });
    resumed.settle();
  }
}
