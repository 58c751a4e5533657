/**
 * Adoption of builds that builders kept going while there was no runner.
 *
 * A build is adopted when it was given to this machine, a row says that its host was building it, the machine can build its
 * step, and the step is wanted and free.
 * One that is not wanted is aborted, but not before the queue is in memory and the session's adoption deadline has passed: a
 * step may become known a little later, when another one is resolved to it.
 */
import { errorChain } from "../../errors.js";
import type { Logger } from "../../log.js";
import { type AttemptId, attemptId, type MachineId, type StepId, stepId } from "../../scheduler/ids.js";
import type { Assignment } from "../../scheduler/types.js";
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
  readonly launcher: Pick<AttemptLauncher, "adopt" | "giveBack">;
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
  /** Attempts whose rows are being asked for. One that ends meanwhile may be adopted again before the first answer is there. */
  readonly #asking = new Map<AttemptId, Assignment>();

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
    for (const session of this.#sessions.resuming()) {
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
    const reservedUntil = this.#scheduler.view.step(step)?.notBefore ?? 0;
    const assignment = this.#scheduler.adoptAttempt({
      attempt,
      step,
      machine: session.id,
      ageMs: build.ageMs,
    });
    if (assignment !== undefined) {
      resumed.adopting();
      void this.#adopt(session, resumed, assignment, reservedUntil);
      return;
    }
    if (mayAppear && !this.#scheduler.view.hasStep(step)) return;
    this.#refuse(session, resumed, "it is not wanted");
  }

  /**
   * The step is the machine's from the start: while the rows are asked, it must not go to another one as well. One that
   * is not adopted waits as long as it would have without the claim: it may be reserved for the machine that has it.
   */
  async #adopt(
    session: BuilderSession,
    resumed: ResumedBuild,
    assignment: Assignment,
    reservedUntil: number,
  ): Promise<void> {
    const { attempt } = assignment;
    this.#asking.set(attempt, assignment);
    const refusal = await this.#refusalByRow(session, resumed);
    const isLatest = this.#asking.get(attempt) === assignment;
    if (isLatest) {
      this.#asking.delete(attempt);
      if (refusal !== undefined) {
        this.#refuse(session, resumed, refusal);
        await this.#launcher.giveBack(assignment, refusal, reservedUntil - this.#scheduler.now());
      } else if (this.#scheduler.view.attempt(attempt) !== undefined) {
        // Else the machine was lost meanwhile, or the step is not wanted any more: then it was aborted.
        await this.#launcher.adopt(assignment);
      }
    }
    resumed.settle();
  }

  /** Undefined when the rows say that the session's host was building it. */
  async #refusalByRow({ join }: BuilderSession, { build }: ResumedBuild): Promise<string | undefined> {
    try {
      const onRecord = await this.#recorder.isOrWasRunning(build.drv, join.hostname);
      return onRecord ? undefined : "no row says that this host was building it";
    } catch (error) {
      return `its row cannot be read: ${errorChain(error)}`;
    }
  }

  #canBuild({ join }: BuilderSession, id: StepId): boolean {
    const step = this.#scheduler.view.step(id);
    if (step === undefined) return false;
    if (step.system !== "builtin" && !join.systems.includes(step.system)) return false;
    return step.features.every((feature) => join.supportedFeatures.includes(feature));
  }

  #refuse(session: BuilderSession, resumed: ResumedBuild, reason: string): void {
    const { build } = resumed;
    this.#logger.info("resumed build not adopted", {
      drv: build.drv,
      hostname: session.join.hostname,
      peer: session.peer,
      reason,
    });
    this.#sessions.send(session.id, { kind: "abort", buildId: build.buildId });
    resumed.settle();
  }
}
