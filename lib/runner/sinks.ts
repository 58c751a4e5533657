/** Where an embedder's own code takes part: logs and results as they come, binary caches of its own. */
import { atMost } from "../async/index.js";
import type { BinaryCache } from "../binary-cache/index.js";
import type { Logger } from "../log.js";
import type { StorePath } from "../nix/path/store-path.js";
import type { BuildFinished, EventBus } from "./events/index.js";

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
      logger.error("a result could not be given to the sink", { build: result.build, error });
    }
  }
}
