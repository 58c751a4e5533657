/**
 * From an assignment to an order in the machine's tunnel: resolve the inputs, write the busy row, send.
 *
 * The slot is reserved before this starts. Whatever goes wrong on the way ends the attempt through `Results`, so the
 * slot is given back and the row, if there is one, is closed.
 */
import { machineLeftMessage } from "../../database/queries/earlier-tries.js";
import { errorChain } from "../../errors.js";
import type { Logger } from "../../log.js";
import type { BasicDerivation } from "../../nix/derivation/derivation.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { RunnerOrder } from "../../rpc/types.js";
import type { SchedulerApi } from "../../scheduler/api.js";
import type { Assignment } from "../../scheduler/types.js";
import { RunnerError } from "../errors.js";
import type { Recorder } from "../recording/recorder.js";
import type { Attempt, AttemptRegistry } from "../state/attempts.js";
import type { RunnerCounters } from "../state/counters.js";
import type { DerivationCatalog } from "../state/derivation-catalog.js";
import type { InputResolver } from "../state/input-resolver.js";
import { wantingJobsets } from "../state/wanting-jobsets.js";
import type { BuilderSessions } from "./builder-sessions.js";
import type { Results } from "./results.js";

export interface AttemptLauncherOptions {
  readonly scheduler: SchedulerApi;
  readonly attempts: AttemptRegistry;
  readonly sessions: BuilderSessions;
  readonly catalog: DerivationCatalog;
  readonly resolver: InputResolver;
  readonly recorder: Recorder;
  readonly results: Results;
  readonly counters: RunnerCounters;
  readonly logger: Logger;
  readonly now: () => number;
  readonly random: () => number;
  /** Limits that do not depend on the step. */
  readonly limits: () => { readonly maxLogSize: number; readonly maxOutputSize: number };
  /** Present when builders upload to the cache themselves. */
  readonly presigned: () => { readonly uploadDebugInfo: boolean } | undefined;
  /** Replaces a step by the derivation it resolves to; the attempt is over then. */
  readonly onResolved: (attempt: Attempt, resolved: StorePath) => Promise<void>;
}

export class AttemptLauncher {
  readonly #options: AttemptLauncherOptions;

  constructor(options: AttemptLauncherOptions) {
    this.#options = options;
  }

  /** Never rejects: an attempt that cannot be launched is ended. */
  async launch(assignment: Assignment): Promise<void> {
    const { catalog, attempts, logger } = this.#options;
    const drv = assignment.step as unknown as StorePath;
    try {
      const attempt: Attempt = { ...this.#describe(assignment), facts: await catalog.facts(drv) };
      attempts.add(attempt);
      await this.#start(attempt);
    } catch (error) {
      logger.warn("step could not be started", { drv, error });
      await this.#giveUp(assignment, error);
    }
  }

  /** A builder already works on this: only the busy row is missing. Never rejects. */
  async adopt(assignment: Assignment, startedAt: number): Promise<void> {
    const { catalog, attempts, recorder, logger } = this.#options;
    const drv = assignment.step as unknown as StorePath;
    try {
      const attempt: Attempt = {
        ...this.#describe(assignment),
        startedAt,
        facts: await catalog.facts(drv),
        sent: true,
        adopted: true,
      };
      attempts.add(attempt);
      attempt.row = recorder.stepStarted(attempt);
      await attempt.row;
    } catch (error) {
      logger.warn("running build could not be taken over", { drv, error });
      await this.#giveUp(assignment, error);
    }
  }

  #describe(assignment: Assignment): Omit<Attempt, "facts"> {
    const { scheduler } = this.#options;
    return {
      id: assignment.attempt,
      assignment,
      drv: assignment.step as unknown as StorePath,
      machine: assignment.machine,
      hostname: this.#options.sessions.get(assignment.machine)?.join.hostname ?? "",
      startedAt: this.#options.now(),
      jobsets: wantingJobsets(scheduler, assignment.step),
      row: undefined,
      sent: false,
    };
  }

  async #start(attempt: Attempt): Promise<void> {
    const { scheduler, resolver, recorder, attempts, results, counters, onResolved, now } = this.#options;
    const resolution = await resolver.resolve(attempt.drv, attempt.facts);
    if (attempts.get(attempt.id) === undefined) return;
    if (resolution.kind === "becomes") {
      await onResolved(attempt, resolution.drv);
      return;
    }
    attempt.row = recorder.stepStarted(attempt);
    await attempt.row;
    // The machine may have been lost while the row was written; then the row is closed by that event.
    if (attempts.get(attempt.id) === undefined) return;
    attempt.sent = this.#options.sessions.send(attempt.machine, this.#order(attempt, resolution.derivation));
    if (!attempt.sent) {
      const outcome = { kind: "postponed", reason: machineLeftMessage, delayMs: 0 } as const;
      await results.end(attempt, outcome, machineLeftMessage);
      return;
    }
    scheduler.sent(attempt.id, now());
    counters.stepStarted(attempt, now());
  }

  #order(attempt: Attempt, derivation: BasicDerivation): RunnerOrder {
    const { maxLogSize, maxOutputSize } = this.#options.limits();
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
        presigned: this.#options.presigned(),
      },
    };
  }

  async #giveUp(assignment: Assignment, error: unknown): Promise<void> {
    const { attempts, results, scheduler, now, random } = this.#options;
    const reason = errorChain(error);
    const hopeless =
      error instanceof RunnerError &&
      (error.code === "unresolved-input" || error.code === "unreadable-derivation");
    const outcome = hopeless
      ? ({ kind: "retryable", reason, blame: "other" } as const)
      : ({ kind: "postponed", reason, delayMs: 5_000 } as const);
    const attempt = attempts.get(assignment.attempt);
    if (attempt !== undefined) {
      await results.end(attempt, outcome, reason);
      return;
    }
    const completion = scheduler.complete(assignment.attempt, outcome, now(), random);
    await results.ended(assignment.attempt, completion, reason);
  }
}
