/** One build from its order to what is reported of it. */
import { whenDescriptorsAreFree } from "../../async/index.js";
import type { Logger } from "../../log.js";
import type { BasicDerivation } from "../../nix/derivation/derivation.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { ValidPathInfo } from "../../nix/store/path-info.js";
import type { BuildResult, BuildSession, Store, StoreSettings } from "../../nix/store/store.js";
import { type DroppedLine, printDroppedLine } from "../../nix-support/index.js";
import type { BuildCompletion, BuildOrder, BuildResources, StepStatus } from "../../rpc/types.js";
import type { RunnerLink } from "../connection/runner-link.js";
import type { MutableCounters } from "../counters.js";
import type { GuardedHooks } from "../hooks.js";
import type { PresignedUploader } from "../presigned/upload.js";
import type { BuildMeter } from "../resources/build-meter.js";
import { reportText } from "./error-text.js";
import { BuildFailure, type FailureState, failureFrom, failureOf } from "./failure.js";
import type { InputImporter } from "./import-inputs.js";
import { BuildLog } from "./log.js";
import {
  checkOutputSizes,
  describeOutputs,
  knownOutputs,
  type MadeOutputs,
  outputPaths,
  queryOutputs,
} from "./outputs.js";
import { StepUpdates } from "./step-updates.js";
import { uploadStream } from "./upload-stream.js";

/** Milliseconds a runner may take for the rest of a log after the build. */
const logDeadlineMs = 600_000;

const newline = Uint8Array.of(0x0a);

/** Lines that a log says to be ignored; each output brings a bounded number of them. */
const mostNotes = 200;

/** What the log tells about a line that has no effect. */
function notCounted(line: DroppedLine): string {
  return `hydra-builder: ignored ${printDroppedLine(line)}`;
}

/** What all builds of a builder share. */
export interface BuildEnvironment {
  readonly store: Store;
  readonly link: RunnerLink;
  readonly importer: InputImporter;
  readonly presigned: PresignedUploader;
  readonly buildCores: () => number;
  readonly counters: MutableCounters;
  readonly hooks: GuardedHooks;
  readonly meter: BuildMeter;
  readonly logger: Logger;
  readonly spoolDirectory: string;
  /** Milliseconds, monotonic. */
  readonly clock: () => number;
}

/** What one build is about. */
export interface BuildJob {
  readonly order: BuildOrder;
  readonly machineId: string;
  /** The orders that this build answers right now; usually one. */
  readonly buildIds: () => readonly string[];
  /** Ends the build without a report. */
  readonly signal: AbortSignal;
}

/** What a success is reported with. */
type Delivered = Pick<BuildCompletion, "outputs" | "ignoredLines">;

/** A report without its addressee. */
export type BuildOutcome = Omit<BuildCompletion, "buildId" | "machineId">;

/** One build: imports inputs, builds, uploads outputs, and gives the report. Used once. */
export class Build {
  readonly #job: BuildJob;
  readonly #environment: BuildEnvironment;
  readonly #updates: StepUpdates;
  /** What an unforeseen error means in the phase under way. */
  #phase: { readonly state: FailureState; readonly what: string } = {
    state: "preparingFailure",
    what: "could not prepare the build",
  };
  readonly #times = { importMs: 0, buildMs: 0, uploadMs: 0 };
  #resources: BuildResources | undefined;

  constructor(job: BuildJob, environment: BuildEnvironment) {
    this.#job = job;
    this.#environment = environment;
    const { link, logger } = environment;
    this.#updates = new StepUpdates({ ...job, link, logger });
  }

  /** Everything that can go wrong is in the outcome. @throws the signal's reason when the build was aborted */
  async run(): Promise<BuildOutcome> {
    const { signal } = this.#job;
    let outcome: Pick<BuildOutcome, "state" | "outputs" | "error" | "cause" | "ignoredLines">;
    try {
      outcome = { state: "success", ...(await this.#work()), error: undefined };
    } catch (error) {
      signal.throwIfAborted();
      const failure = failureFrom(error, this.#phase.state, this.#phase.what);
      const { code: state, reported: cause } = failure;
      outcome = { state, outputs: new Map(), error: reportText(failure.message), cause };
    }
    await this.#updates.settled();
    signal.throwIfAborted();
    return { ...this.#times, ...outcome, resources: this.#resources };
  }

  async #work(): Promise<Delivered> {
    const { order, signal } = this.#job;
    const { store } = this.#environment;
    const { derivation } = order;
    if (derivation === undefined) {
      throw new BuildFailure("preparingFailure", "the order came without a derivation", {
        reported: "other",
      });
    }
    // The session holds the roots of inputs and outputs until all is reported.
    const roots = await this.#withDescriptors(() => store.buildSession(this.#settings(), { signal }));
    try {
      this.#announce("sendingInputs");
      this.#enter("importFailure", "could not get the inputs");
      const known = await this.#timed("importMs", () =>
        this.#withDescriptors(() =>
          this.#environment.importer.import(derivation.inputSources, { roots, signal }),
        ),
      );

      this.#announce("building");
      this.#enter("preparingFailure", "could not run the build");
      const log = new BuildLog({ ...this.#environment, drv: order.drv, deadlineMs: logDeadlineMs, signal });
      try {
        const paths = await this.#timed("buildMs", () => this.#build(derivation, roots, log));
        return await this.#deliver(derivation, { known, paths, roots }, log);
      } finally {
        await log.close();
      }
    } finally {
      await roots.close().catch(() => undefined);
    }
  }

  async #build(
    derivation: BasicDerivation,
    session: BuildSession,
    log: BuildLog,
  ): Promise<Map<string, StorePath>> {
    const { order, signal } = this.#job;
    const { store, hooks } = this.#environment;
    const { drv } = order;
    const sink = hooks.followsLogs ? this.#followed(log) : log.add;
    const result = await this.#metered(derivation, () =>
      hooks.executor({ drv, derivation, session, log: sink, signal }),
    );
    const failure = failureOf(order.drv, result);
    if (failure !== undefined) {
      await log.finish();
      throw failure;
    }
    return outputPaths(store.storeDir, derivation, result);
  }

  async #metered(derivation: BasicDerivation, build: () => Promise<BuildResult>): Promise<BuildResult> {
    const { store, meter } = this.#environment;
    const measurement = meter.start(knownOutputs(store.storeDir, derivation));
    let result: BuildResult | undefined;
    try {
      result = await build();
      return result;
    } finally {
      this.#resources = await measurement.end(result);
    }
  }

  /** Uploads and describes what was built, and ends the log, which gets a note of what the description leaves out. */
  async #deliver(
    derivation: BasicDerivation,
    built: {
      readonly known: ReadonlySet<StorePath>;
      readonly paths: ReadonlyMap<string, StorePath>;
      readonly roots: BuildSession;
    },
    log: BuildLog,
  ): Promise<Delivered> {
    const { order, signal } = this.#job;
    const { known, paths, roots } = built;
    let made: MadeOutputs;
    try {
      await roots.addTempRoots([...paths.values()], { signal });
      this.#enter("postProcessingFailure", "could not look at the outputs");
      made = await this.#withDescriptors(() =>
        queryOutputs(this.#environment.store, derivation, paths, { signal }),
      );
      checkOutputSizes(made.outputs, order.maxOutputSize);
    } catch (error) {
      await this.#finishLog(log);
      throw error;
    }
    this.#announce("receivingOutputs");
    const beliefs = { known, outputs: new Set(paths.values()) };
    const upload = this.#timed("uploadMs", () =>
      this.#withDescriptors(() => this.#upload(made.closure, beliefs)),
    );
    void upload.then(
      () => this.#announce("postProcessing"),
      () => {},
    );
    const describing = this.#describe(made, log);
    await Promise.allSettled([upload, describing]);
    this.#enter("uploadFailure", "could not upload the outputs");
    await upload;
    this.#enter("postProcessingFailure", "could not describe the outputs");
    return await describing;
  }

  async #describe(made: MadeOutputs, log: BuildLog): Promise<Delivered> {
    try {
      const described = await describeOutputs(this.#environment.store, made, this.#job.signal);
      const notes = described.dropped.slice(0, mostNotes).map(notCounted);
      for (const note of notes) await log.note(note);
      return {
        outputs: described.outputs,
        ...(notes.length === 0 ? {} : { ignoredLines: notes.length }),
      };
    } finally {
      await this.#finishLog(log);
    }
  }

  async #finishLog(log: BuildLog): Promise<void> {
    if (!this.#job.signal.aborted) await log.finish();
  }

  /** The log, with a listener beside it. */
  #followed(log: BuildLog): BuildLog["add"] {
    const { buildId, drv } = this.#job.order;
    return async (line, complete) => {
      await log.add(line, complete);
      const bytes = complete ? Buffer.concat([line, newline]) : line;
      await this.#environment.hooks.log({ buildId, drv, bytes });
    };
  }

  #announce(phase: StepStatus): void {
    this.#updates.send(phase);
    const { buildId, drv } = this.#job.order;
    this.#environment.hooks.build({ kind: "phase", buildId, drv, phase, at: Date.now() });
  }

  #settings(): StoreSettings {
    const { maxSilentTime, buildTimeout, maxLogSize, presigned } = this.#job.order;
    return {
      maxSilentTime,
      timeout: buildTimeout,
      maxLogSize,
      buildCores: this.#environment.buildCores(),
      maxBuildJobs: 1,
      // Inputs that only a cache has are substituted by the build itself, and may be there only since a moment.
      useSubstitutes: true,
      ...(presigned === undefined ? {} : { narinfoNegativeTtl: 0 }),
    };
  }

  async #upload(
    closure: readonly ValidPathInfo[],
    beliefs: { readonly known: ReadonlySet<StorePath>; readonly outputs: ReadonlySet<StorePath> },
  ): Promise<void> {
    const { order, machineId, buildIds, signal } = this.#job;
    if (order.presigned === undefined) {
      await uploadStream(closure, beliefs, { ...this.#environment, signal });
      return;
    }
    await this.#environment.presigned.upload(closure, {
      buildId: () => buildIds()[0] ?? order.buildId,
      machineId,
      debugInfo: order.presigned.uploadDebugInfo,
      signal,
    });
  }

  /** A build must not be lost because this process cannot open another file or connection for a while. */
  #withDescriptors<T>(work: () => Promise<T>): Promise<T> {
    const { order, signal } = this.#job;
    return whenDescriptorsAreFree(work, {
      signal,
      onRetry: ({ failures, error }) => {
        if (failures > 1) return;
        this.#environment.logger.warn("nothing more can be opened; trying again", { drv: order.drv, error });
      },
    });
  }

  #enter(state: FailureState, what: string): void {
    this.#phase = { state, what };
  }

  async #timed<T>(name: "importMs" | "buildMs" | "uploadMs", work: () => Promise<T>): Promise<T> {
    const { clock } = this.#environment;
    const start = clock();
    try {
      return await work();
    } finally {
      this.#times[name] = Math.round(clock() - start);
    }
  }
}
