/**
 * From an assignment to an order in the machine's tunnel: resolve the inputs, send, and write the busy row beside that.
 *
 * The slot is reserved before this starts. Nothing of an attempt is recorded before its row: its end waits for that.
 * Anything that goes wrong on the way ends the attempt through `Results`, so the slot is given back and the row, if there
 * is one, is closed.
 */
import type { QueueRunnerConfig } from "../../config/types.js";
import { machineLeftMessage } from "../../database/queries/earlier-tries.js";
import { errorChain } from "../../errors.js";
import type { Logger } from "../../log.js";
import type { BasicDerivation } from "../../nix/derivation/derivation.js";
import type { RunnerOrder } from "../../rpc/types.js";
import { type Assignment, type AttemptOutcome, failureStatus } from "../../scheduler/types.js";
import { RunnerError } from "../errors.js";
import type { RunnerEdges } from "../outputs/edges.js";
import type { UploadMode } from "../outputs/upload-mode.js";
import type { Recorder } from "../recording/recorder.js";
import type { Attempt, AttemptRegistry } from "../state/attempts.js";
import { type DerivationCatalog, drvOf } from "../state/derivation-catalog.js";
import type { InputResolver } from "../state/input-resolver.js";
import type { RunningScheduler } from "../state/running-scheduler.js";
import { wantingJobsets } from "../state/wanting-jobsets.js";
import type { BuilderSessions } from "./builder-sessions.js";
import type { ResolvedSteps } from "./resolved-steps.js";
import type { Results } from "./results.js";
import type { StepEvents } from "./step-events.js";

/** Limits that are the same for all steps. */
export type LaunchLimits = Pick<QueueRunnerConfig, "maxLogSize" | "maxOutputSize">;

/** What a launcher works with. */
export interface AttemptLauncherOptions {
  readonly scheduler: RunningScheduler;
  readonly attempts: AttemptRegistry;
  readonly sessions: BuilderSessions;
  readonly catalog: DerivationCatalog;
  readonly resolver: InputResolver;
  readonly resolvedSteps: ResolvedSteps;
  readonly recorder: Recorder;
  readonly results: Results;
  readonly stepEvents: StepEvents;
  readonly uploads: Pick<RunnerEdges["uploads"], "wantsDebugInfo">;
  readonly logger: Logger;
  /** Read for each attempt. */
  readonly limits: () => LaunchLimits;
  /** Read for each order. */
  readonly uploadMode: () => UploadMode;
}

/** Starts attempts. */
export class AttemptLauncher {
  readonly #scheduler: RunningScheduler;
  readonly #attempts: AttemptRegistry;
  readonly #sessions: BuilderSessions;
  readonly #catalog: DerivationCatalog;
  readonly #resolver: InputResolver;
  readonly #resolvedSteps: ResolvedSteps;
  readonly #recorder: Recorder;
  readonly #results: Results;
  readonly #stepEvents: StepEvents;
  readonly #uploads: AttemptLauncherOptions["uploads"];
  readonly #logger: Logger;
  readonly #limits: () => LaunchLimits;
  readonly #uploadMode: () => UploadMode;

  constructor(options: AttemptLauncherOptions) {
    this.#scheduler = options.scheduler;
    this.#attempts = options.attempts;
    this.#sessions = options.sessions;
    this.#catalog = options.catalog;
    this.#resolver = options.resolver;
    this.#resolvedSteps = options.resolvedSteps;
    this.#recorder = options.recorder;
    this.#results = options.results;
    this.#stepEvents = options.stepEvents;
    this.#uploads = options.uploads;
    this.#logger = options.logger;
    this.#limits = options.limits;
    this.#uploadMode = options.uploadMode;
  }

  /** Never rejects: an attempt that cannot be launched is ended. */
  async launch(assignment: Assignment): Promise<void> {
    const drv = drvOf(assignment.step);
    try {
      const attempt: Attempt = { ...this.#describe(assignment), facts: await this.#catalog.facts(drv) };
      this.#attempts.add(attempt);
      await this.#start(attempt);
    } catch (error) {
      this.#logger.warn("step could not be started", { drv, error });
      await this.#giveUp(assignment, error);
    }
  }

  /** A builder already works on this: only the busy row is missing. Never rejects. */
  async adopt(assignment: Assignment): Promise<void> {
    const drv = drvOf(assignment.step);
    const startedAt = this.#scheduler.view.attempt(assignment.attempt)?.startedAt ?? this.#scheduler.now();
    try {
      const attempt: Attempt = {
        ...this.#describe(assignment),
        startedAt,
        facts: await this.#catalog.facts(drv),
        sent: true,
        adopted: true,
      };
      this.#attempts.add(attempt);
      this.#stepEvents.traceOf(attempt);
      this.#stepEvents.started(attempt);
      attempt.row = this.#recorder.stepStarted(attempt);
      await attempt.row;
    } catch (error) {
      this.#logger.warn("resumed build could not be adopted", { drv, error });
      await this.#giveUp(assignment, error);
    }
  }

  /** A build that could have been adopted is not: its step waits for another machine, at least `delayMs` milliseconds. */
  async giveBack({ attempt }: Assignment, reason: string, delayMs: number): Promise<void> {
    const outcome = { kind: "postponed", reason, delayMs: Math.max(1, delayMs) } as const;
    const completion = this.#scheduler.complete(attempt, outcome);
    await this.#results.ended(attempt, completion, reason);
  }

  #describe(assignment: Assignment): Omit<Attempt, "facts"> {
    const { maxLogSize, maxOutputSize } = this.#limits();
    return {
      id: assignment.attempt,
      assignment,
      drv: drvOf(assignment.step),
      machine: assignment.machine,
      hostname: this.#sessions.get(assignment.machine)?.join.hostname ?? "",
      startedAt: this.#scheduler.now(),
      limits: { maxLogSize, maxOutputSize },
      jobsets: wantingJobsets(this.#scheduler.view, assignment.step),
      row: undefined,
      sent: false,
    };
  }

  async #start(attempt: Attempt): Promise<void> {
    const resolution = await this.#resolver.resolve(attempt.drv, attempt.facts);
    if (this.#attempts.get(attempt.id) === undefined) return;
    if (resolution.kind === "becomes") {
      await this.#resolvedSteps.replace(attempt, resolution.drv);
      return;
    }
    // Beside the order: what the machine reports is recorded after the row. A runner that follows knows only what has a
    // row, so orders wait for theirs while rows are slow to come.
    const waitsForRow = this.#recorder.startsAreSlow;
    attempt.row = this.#recorder.stepStarted(attempt);
    if (waitsForRow) {
      await attempt.row;
      if (this.#attempts.get(attempt.id) === undefined) return;
    }
    attempt.sent = this.#sessions.send(attempt.machine, this.#order(attempt, resolution.derivation));
    if (!attempt.sent) {
      await attempt.row;
      // The loss of the machine may have ended the attempt meanwhile.
      if (this.#attempts.get(attempt.id) === undefined) return;
      const outcome = { kind: "postponed", reason: machineLeftMessage, delayMs: 0 } as const;
      await this.#results.end(attempt, outcome, machineLeftMessage);
      return;
    }
    this.#scheduler.sent(attempt.id);
    this.#stepEvents.started(attempt);
    await attempt.row;
  }

  #order(attempt: Attempt, derivation: BasicDerivation): RunnerOrder {
    const { maxLogSize, maxOutputSize } = attempt.limits;
    const presigned =
      this.#uploadMode() === "from-builders"
        ? { uploadDebugInfo: this.#uploads.wantsDebugInfo() }
        : undefined;
    return {
      kind: "build",
      build: {
        buildId: attempt.id,
        drv: attempt.drv,
        derivation,
        maxLogSize,
        maxSilentTime: attempt.assignment.limits.maxSilent,
        buildTimeout: attempt.assignment.limits.timeout,
        maxOutputSize,
        presigned,
        traceparent: this.#stepEvents.traceOf(attempt),
      },
    };
  }

  async #giveUp(assignment: Assignment, error: unknown): Promise<void> {
    const reason = errorChain(error);
    const hopeless =
      error instanceof RunnerError &&
      (error.code === "unresolved-input" || error.code === "unreadable-derivation");
    const outcome: AttemptOutcome = hopeless
      ? { kind: "retryable", reason, exhausted: failureStatus.aborted, evidence: { says: "nothing" } }
      : { kind: "postponed", reason, delayMs: 5_000 };
    const attempt = this.#attempts.get(assignment.attempt);
    if (attempt !== undefined) {
      if (attempt.sent) this.#sessions.send(attempt.machine, { kind: "abort", buildId: attempt.id });
      await this.#results.end(attempt, outcome, reason);
      return;
    }
    const completion = this.#scheduler.complete(assignment.attempt, outcome);
    await this.#results.ended(assignment.attempt, completion, reason);
  }
}
