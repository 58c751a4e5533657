/** Where an embedder's own code takes part: logs and results as they come, binary caches of its own. */
import { atMost } from "../async/index.js";
import type { BinaryCache } from "../binary-cache/index.js";
import type { Logger } from "../log.js";
import type { StorePath } from "../nix/path/store-path.js";
import type { BuildFinished, EventBus, EventTry } from "./events/index.js";

/** A part of a build log. */
export interface LogChunk {
  readonly drv: StorePath;
  /** Id of the build that the step is accounted to. */
  readonly build: number;
  /** Hostname of the machine that builds. */
  readonly machine: string;
  /** Number of the try, from 1. */
  readonly try: number;
  /** Bytes of this log before these; 0 again when a log that was cut off comes again from its start. */
  readonly offset: number;
  /** As the build printed them; a character may be cut in two. Not to be kept without a copy. */
  readonly bytes: Uint8Array;
}

/** A try whose order is about to be sent, or one that a builder has not stopped. */
export interface TracedOrder extends EventTry {
  /** Id of the attempt. A secret between the runner and the builder: it proves that a report belongs to the attempt. */
  readonly attempt: string;
}

/** Own code beside the log store, the front-end's notifications and the configured caches. */
export interface RunnerSinks {
  /**
   * Gets every log, part by part, after it was written. The next part of the same log is read when the returned promise
   * settles: a slow sink slows the log, and in the end the build. One that fails gets no more of that log; the log says it.
   */
  readonly onLog?: ((chunk: LogChunk) => unknown) | undefined;
  /**
   * Gets the result of every build, one at a time in order, after it is in the database; the next when the returned
   * promise settles. An error is logged and the result not given again. Up to 10,000 results wait, the oldest are dropped
   * beyond that; closing waits for them for ten seconds.
   */
  readonly onResult?: ((result: BuildFinished) => unknown) | undefined;
  /**
   * Binary caches that outputs go to besides those of `remoteStoreAddr`; see `binaryCacheOn`. Their names must differ.
   * The runner does not close them.
   */
  readonly caches?: readonly BinaryCache[] | undefined;
  /**
   * The trace that a builder is to work in, as W3C `traceparent`; undefined: none. Called for each order, before
   * `stepStarted`; for a build that is adopted the answer is not used. A builder that knows nothing of it is not disturbed.
   * `RunnerTracing` of `hydra-runner/tracing` is made for this.
   */
  readonly traceOrder?: ((order: TracedOrder) => string | undefined) | undefined;
}

/** The same hook, which never throws: what it throws is logged once. */
export function guardedTraceOrder(
  hook: RunnerSinks["traceOrder"],
  logger: Logger,
): RunnerSinks["traceOrder"] {
  if (hook === undefined) return undefined;
  let reported = false;
  return (order) => {
    try {
      return hook(order);
    } catch (error) {
      if (!reported) logger.warn("traceOrder failed; further errors of it are not reported", { error });
      reported = true;
      return undefined;
    }
  };
}

const resultsKept = 10_000;
const lastResultsMs = 10_000;

/** Gives results to a sink, one after the other. */
export class ResultFeed {
  readonly #fed: Promise<void>;

  constructor(events: EventBus, sink: NonNullable<RunnerSinks["onResult"]>, logger: Logger) {
    this.#fed = feed(events, sink, logger);
  }

  /** Waits for the last results, within reason; call it after the events have ended. */
  async close(): Promise<void> {
    await atMost(this.#fed, lastResultsMs);
  }
}

async function feed(
  events: EventBus,
  sink: NonNullable<RunnerSinks["onResult"]>,
  logger: Logger,
): Promise<void> {
  for await (const result of events.events({ names: ["buildFinished"], limit: resultsKept })) {
    try {
      await sink(result);
    } catch (error) {
      logger.error("the sink did not take a result", { build: result.build, error });
    }
  }
}
