/**
 * Adoption of builds that builders kept going while there was no runner.
 *
 * A build is adopted when it was given to this machine, a row says that its host was building it, the machine can build its
 * step, and the step is wanted and free.
 * One that is not wanted is aborted, but not before the queue is in memory and the session's adoption deadline is over: a
 * step may become known a little later, when another one is resolved to it.
 */
import type { Logger } from "../../log.js";
import { type AttemptId, attemptId, type MachineId, type StepId, stepId } from "../../scheduler/ids.js";
import type { QueueMonitor } from "../ingestion/queue-monitor.js";
import type { Recorder } from "../recording/recorder.js";
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
  /** Whether the attempt was given to this machine, and to its owner, for this step; perhaps by an earlier runner. */
  readonly isOurs: (attempt: AttemptId, step: StepId, machine: MachineId) => boolean;
  /** What the rows say. */
  readonly recorder: Pick<Recorder, "isOrWasRunning">;
  readonly logger: Logger;
}

/** Decides on the builds that builders joined with. */
export class Adoption {
  readonly #scheduler: RunningScheduler;
  readonly #sessions: BuilderSessions;
  readonly #launcher: AdoptionOptions["launcher"];
  readonly #monitor: AdoptionOptions["monitor"];
  readonly #isOurs: AdoptionOptions["isOurs"];
  readonly #recorder: AdoptionOptions["recorder"];
  readonly #logger: Logger;
  /** What the rows say of builds; undefined while they are asked. */
  readonly #onRecord = new WeakMap<ResumedBuild, boolean | undefined>();

  constructor({ scheduler, sessions, launcher, monitor, isOurs, recorder, logger }: AdoptionOptions) {
    this.#scheduler = scheduler;
    this.#sessions = sessions;
    this.#launcher = launcher;
    this.#monitor = monitor;
    this.#isOurs = isOurs;
    this.#recorder = recorder;
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
    const step = stepId(build.drv);
    const attempt = attemptId(build.buildId);
    if (!this.#isOurs(attempt, step, session.id)) {
      this.#refuse(session, resumed, "it was not given to this machine");
      return;
    }
    if (this.#scheduler.view.hasStep(step) && !this.#canBuild(session, step)) {
      this.#refuse(session, resumed, "the machine lacks the step's system or features");
      return;
    }
    const onRecord = this.#isOnRecord(session, resumed);
    if (onRecord === undefined) return;
    if (!onRecord) {
      this.#refuse(session, resumed, "no row says that this host was building it");
      return;
    }
    const assignment = this.#scheduler.adoptAttempt({
      attempt,
      step,
      machine: session.id,
      ageMs: build.ageMs,
    });
    if (assignment !== undefined) {
      resumed.adopting();
      void this.#launcher.adopt(assignment).then(() => resumed.settle());
      return;
    }
    if (mayAppear && !this.#scheduler.view.hasStep(step)) return;
    this.#refuse(session, resumed, "it is not wanted");
  }

  /** Undefined while the database is asked; a round follows. */
  #isOnRecord({ join }: BuilderSession, resumed: ResumedBuild): boolean | undefined {
    if (this.#onRecord.has(resumed)) return this.#onRecord.get(resumed);
    this.#onRecord.set(resumed, undefined);
    const { drv } = resumed.build;
    void this.#recorder.isOrWasRunning(drv, join.hostname).then(
      (found) => {
        this.#onRecord.set(resumed, found);
        this.#scheduler.requestRound();
      },
      (error: unknown) => {
        this.#onRecord.delete(resumed);
        this.#logger.warn("the row of a running build cannot be read", { drv, error });
      },
    );
    return undefined;
  }

  #canBuild({ join }: BuilderSession, id: StepId): boolean {
    const step = this.#scheduler.view.step(id);
    if (step === undefined) return false;
    if (step.system !== "builtin" && !join.systems.includes(step.system)) return false;
    return step.features.every((feature) => join.supportedFeatures.includes(feature));
  }

  #refuse(session: BuilderSession, resumed: ResumedBuild, reason: string): void {
    const { build } = resumed;
    this.#logger.info("running build not taken over", {
      drv: build.drv,
      hostname: session.join.hostname,
      reason,
    });
    this.#sessions.send(session.id, { kind: "abort", buildId: build.buildId });
    resumed.settle();
  }
}
