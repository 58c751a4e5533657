/** Logs from builders into the log store. */
import { withSignal } from "../../async/index.js";
import type { Logger } from "../../log.js";
import { decodeLog, RpcError } from "../../rpc/index.js";
import type { RunnerEdges } from "../outputs/edges.js";
import type { RunnerSinks } from "../sinks.js";
import type { Attempt } from "../state/attempts.js";
import type { RunnerCounters } from "../state/counters.js";

/** What a log may be longer than allowed, as a share of its limit and in bytes: builders measure at other places. */
const tolerance = { share: 0.1, bytes: 65_536 };

/** Bytes of a log that prove that its builder does not keep to the limit. */
function ceilingOf({ limits: { maxLogSize } }: Pick<Attempt, "limits">): number {
  if (maxLogSize <= 0) return Number.POSITIVE_INFINITY;
  return Math.ceil(maxLogSize * (1 + tolerance.share)) + tolerance.bytes;
}

/** Where logs go, and who hears of those that are too long. */
export interface LogIntakeOptions {
  readonly logs: Pick<RunnerEdges["logs"], "create">;
  readonly counters: RunnerCounters;
  /** Gets what was written, part by part; the next part waits for it. Default: nothing. */
  readonly onLog?: RunnerSinks["onLog"];
  readonly logger: Logger;
  /** Ends an attempt whose log is far longer than allowed. */
  readonly onTooLong: (attempt: Attempt) => Promise<void>;
}

/** Receives logs. */
export class LogIntake {
  readonly #options: LogIntakeOptions;
  /** Ends what comes of an attempt's log by now. */
  readonly #streams = new WeakMap<Attempt, AbortController>();

  constructor(options: LogIntakeOptions) {
    this.#options = options;
  }

  /**
   * Writes the log of an attempt, which comes over one stream at a time: a later one replaces it. What is beyond the limit is dropped with a note; a builder that goes on far beyond it
   * is not read any more, and its attempt ends. @throws what the log store and the stream throw
   */
  async receive(attempt: Attempt, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    this.#streams.get(attempt)?.abort(new RpcError("cancelled", "this log comes over another stream by now"));
    const stream = new AbortController();
    this.#streams.set(attempt, stream);
    const writing = this.#write(attempt, untilAborted(chunks, stream.signal));
    // The end of the attempt waits for its log, however the log ends.
    attempt.log = writing.then(
      () => {},
      () => {},
    );
    const { tooLong } = await writing;
    if (tooLong) await this.#options.onTooLong(attempt);
  }

  /** Gives parts to the embedder's sink until that fails. */
  #follower(attempt: Attempt): (bytes: Uint8Array, offset: number) => Promise<void> {
    const { onLog, logger } = this.#options;
    const { drv, hostname: machine, assignment } = attempt;
    let works = onLog !== undefined;
    return async (bytes, offset) => {
      if (!works) return;
      try {
        await onLog?.({ drv, build: assignment.build, machine, try: assignment.tries + 1, offset, bytes });
      } catch (error) {
        works = false;
        logger.error("the log sink failed; it gets no more of this log", { drv, machine, error });
      }
    };
  }

  /** A log that was cut off comes again from its start. */
  async #write(attempt: Attempt, chunks: AsyncIterable<Uint8Array>): Promise<{ readonly tooLong: boolean }> {
    const { logs, counters } = this.#options;
    const again = attempt.log !== undefined || attempt.adopted === true;
    const writer = await logs.create(attempt.drv, again ? { since: attempt.startedAt } : {});
    const ceiling = ceilingOf(attempt);
    const follow = this.#follower(attempt);
    let bytes = 0;
    try {
      for await (const chunk of decodeLog(chunks, { maxBytes: ceiling + 1 })) {
        counters.metrics.add("logBytes", chunk.length);
        await writer.write(chunk);
        await follow(chunk, bytes);
        bytes += chunk.length;
        if (bytes > ceiling) return { tooLong: true };
      }
    } finally {
      await writer.close();
    }
    return { tooLong: false };
  }
}

/** Ends the wait for the next chunk, too. @throws the signal's reason */
async function* untilAborted(
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await withSignal(iterator.next(), signal);
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    // Not awaited: it may be waiting for data that need not come.
    void iterator.return?.()?.then(undefined, () => undefined);
  }
}
