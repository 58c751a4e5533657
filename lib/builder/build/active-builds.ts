/** Builds in progress. Accepts and aborts orders; each order is answered exactly once unless it was aborted. */
import { setMaxListeners } from "node:events";
import type { Logger } from "../../log.js";
import type { StorePath } from "../../nix/path/store-path.js";
import { RpcError } from "../../rpc/index.js";
import type { BuildOrder, RunningBuild } from "../../rpc/types.js";
import type { RunnerLink } from "../connection/runner-link.js";
import type { MutableCounters } from "../counters.js";
import { Build, type BuildEnvironment, type BuildOutcome } from "./build.js";
import { errorReport } from "./error-text.js";

interface ActiveBuild {
  readonly drv: StorePath;
  /** Of the order that began it; names it in events. */
  readonly name: string;
  /** In the order of their arrival; the runner may order a derivation again while it is still being built here. */
  readonly buildIds: Set<string>;
  /** Of the environment's clock. */
  readonly startedAt: number;
  readonly abort: AbortController;
  /** Its outcome is known and is being reported, so later orders for the derivation are new work. */
  settled: boolean;
}

/** What a report is about. */
interface ReportSubject {
  readonly drv: StorePath;
  readonly buildId: string;
  readonly machineId: string;
}

/**
 * `maxActiveBuilds`: builds held at once, uploads included; read at each order. `onActivity`: see
 * `BuilderClientOptions`.
 */
export interface ActiveBuildsOptions {
  readonly environment: BuildEnvironment;
  readonly maxActiveBuilds: () => number;
  readonly onActivity: ((drvs: readonly StorePath[]) => void) | undefined;
}

/** Answers that mean "I do not know this build": reporting it again, or in other words, does not help. */
const unknownBuild = new Set(["not-found", "already-exists", "aborted", "failed-precondition"]);

/** The builds of one builder. Orders for a derivation that is being built already join that build. */
export class ActiveBuilds {
  readonly #options: ActiveBuildsOptions;
  readonly #link: RunnerLink;
  readonly #counters: MutableCounters;
  readonly #logger: Logger;
  /** Those that the runner waits for; a build that was aborted is not here although it may take a moment to end. */
  readonly #active = new Set<ActiveBuild>();
  readonly #running = new Set<Promise<void>>();
  #refusal: string | undefined;

  constructor(options: ActiveBuildsOptions) {
    this.#options = options;
    this.#link = options.environment.link;
    this.#counters = options.environment.counters;
    this.#logger = options.environment.logger;
  }

  get drvs(): readonly StorePath[] {
    return [...this.#active].map((build) => build.drv);
  }

  /** The builds to report to a runner that takes us back. */
  running(): RunningBuild[] {
    const now = this.#options.environment.clock();
    return [...this.#active].flatMap(({ drv, buildIds, startedAt }) =>
      [...buildIds].map((buildId) => ({ buildId, drv, ageMs: Math.round(now - startedAt) })),
    );
  }

  /** From now on orders are answered with this text instead of being carried out. */
  refuse(reason: string): void {
    this.#refusal = reason;
  }

  /** Takes an order of the runner that knows us as `machineId`. */
  take(order: BuildOrder, machineId: string): void {
    const { environment } = this.#options;
    const maxActiveBuilds = this.#options.maxActiveBuilds();
    const same = [...this.#active].find((build) => build.drv === order.drv && !build.settled);
    if ([...this.#active].some((build) => build.buildIds.has(order.buildId))) return;
    if (same !== undefined && this.#refusal === undefined) {
      this.#counters.ordersShared++;
      same.buildIds.add(order.buildId);
      return;
    }
    // A build whose report is under way costs nothing; a runner that is slow to answer may owe us many answers.
    const unsettled = [...this.#active].filter((build) => !build.settled).length;
    const refusal =
      this.#refusal ??
      (unsettled >= maxActiveBuilds ? `this builder has ${maxActiveBuilds} builds already` : undefined);
    const abort = new AbortController();
    // Everything in a build that waits listens to it.
    setMaxListeners(0, abort.signal);
    const build: ActiveBuild = {
      drv: order.drv,
      name: order.buildId,
      buildIds: new Set([order.buildId]),
      startedAt: environment.clock(),
      abort,
      settled: refusal !== undefined,
    };
    const job = { order, machineId, buildIds: () => [...build.buildIds], signal: abort.signal };
    if (refusal === undefined) {
      this.#active.add(build);
      this.#counters.buildsStarted++;
      this.#logger.info("build started", { drv: order.drv });
      const { traceparent } = order;
      environment.hooks.build({
        kind: "started",
        ...eventBase(build),
        ...(traceparent === undefined ? {} : { traceparent }),
      });
      this.#announce();
      this.#track(build, () => new Build(job, environment).run(), machineId);
    } else {
      this.#counters.ordersRefused++;
      this.#logger.warn("order refused", { drv: order.drv, reason: refusal });
      this.#track(build, () => Promise.resolve(refused(refusal)), machineId);
    }
  }

  /** The runner does not want this build any more; it gets no report. */
  abort(buildId: string): void {
    for (const build of this.#active) {
      if (!build.buildIds.delete(buildId)) continue;
      this.#counters.buildsAborted++;
      this.#logger.info("build aborted by the runner", { drv: build.drv });
      if (build.buildIds.size === 0) this.#end(build, "the runner aborted the build");
      return;
    }
  }

  /** Ends all builds without reports. */
  abortAll(reason: string): void {
    for (const build of this.#active) {
      this.#counters.buildsAborted += build.buildIds.size;
      this.#logger.warn("build aborted", { drv: build.drv, reason });
      build.buildIds.clear();
      this.#end(build, reason);
    }
  }

  /** Resolves when no build is in progress, reports included. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  #end(build: ActiveBuild, reason: string): void {
    this.#remove(build);
    // A build that is settled has had its last event.
    if (!build.settled) {
      this.#options.environment.hooks.build({ kind: "aborted", ...eventBase(build), reason });
    }
    build.abort.abort(new Error(reason));
  }

  #remove(build: ActiveBuild): void {
    if (this.#active.delete(build)) this.#announce();
  }

  #track(build: ActiveBuild, work: () => Promise<BuildOutcome>, machineId: string): void {
    const running = this.#carryOut(build, work, machineId).finally(() => {
      this.#remove(build);
      this.#running.delete(running);
    });
    this.#running.add(running);
  }

  /** Never rejects. */
  async #carryOut(build: ActiveBuild, work: () => Promise<BuildOutcome>, machineId: string): Promise<void> {
    const { signal } = build.abort;
    try {
      const outcome = await work();
      if (!build.settled) this.#finished(build, outcome);
      const traceparent = this.#options.environment.hooks.traceOf(build.name);
      const report = traceparent === undefined ? outcome : { ...outcome, traceparent };
      for (const buildId of build.buildIds) {
        signal.throwIfAborted();
        await this.#report({ drv: build.drv, buildId, machineId }, report, signal);
      }
    } catch (error) {
      if (signal.aborted) return;
      this.#logger.error("a build ended with an unexpected error", { drv: build.drv, error });
      if (build.settled) return;
      build.settled = true;
      const reason = errorReport(error);
      this.#options.environment.hooks.build({ kind: "aborted", ...eventBase(build), reason });
    }
  }

  #finished(build: ActiveBuild, outcome: BuildOutcome): void {
    build.settled = true;
    const { state, error = "", importMs, buildMs, uploadMs } = outcome;
    const { hooks } = this.#options.environment;
    hooks.build({ kind: "finished", ...eventBase(build), state, error, importMs, buildMs, uploadMs });
  }

  async #report(about: ReportSubject, outcome: BuildOutcome, signal: AbortSignal): Promise<void> {
    const { drv, buildId, machineId } = about;
    const complete = (report: BuildOutcome): Promise<void> =>
      this.#link.call((api) => api.completeBuild({ buildId, machineId, ...report }, { signal }), signal);
    const { state } = outcome;
    try {
      await complete(outcome);
      this.#counters.reports[state] = (this.#counters.reports[state] ?? 0) + 1;
      this.#logger.info("build reported", { drv, state, error: outcome.error });
    } catch (error) {
      signal.throwIfAborted();
      this.#logger.error("the runner did not accept the report of a build", { drv, state, error });
      const retryable = state === "success" && !(error instanceof RpcError && unknownBuild.has(error.code));
      // The runner may have trouble with this very report; a failure that is to be tried again may get through.
      if (retryable) {
        const text = `the report of success was not taken: ${errorReport(error)}`;
        const failure = {
          ...outcome,
          state: "postProcessingFailure",
          outputs: new Map(),
          error: text,
          cause: "other",
        } as const;
        return this.#report(about, failure, signal);
      }
      this.#counters.reportsLost++;
    }
  }

  #announce(): void {
    this.#counters.activeBuilds = this.#active.size;
    this.#options.onActivity?.(this.drvs);
  }
}

function eventBase({ drv, name }: ActiveBuild): { drv: StorePath; buildId: string; at: number } {
  return { drv, buildId: name, at: Date.now() };
}

function refused(reason: string): BuildOutcome {
  return {
    state: "preparingFailure",
    importMs: 0,
    buildMs: 0,
    uploadMs: 0,
    outputs: new Map(),
    error: reason,
    cause: "other",
  };
}
