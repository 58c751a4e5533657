/** Logs from builders into the log store. */
import { decodeLog } from "../../rpc/index.js";
import type { RunnerEdges } from "../outputs/edges.js";
import type { Attempt } from "../state/attempts.js";
import type { RunnerCounters } from "../state/counters.js";

/** Receives logs. */
export class LogIntake {
  readonly #logs: Pick<RunnerEdges["logs"], "create">;
  readonly #counters: RunnerCounters;

  constructor(logs: Pick<RunnerEdges["logs"], "create">, counters: RunnerCounters) {
    this.#logs = logs;
    this.#counters = counters;
  }

  /** Writes the log of an attempt. @throws what the log store and the stream throw */
  async receive(attempt: Attempt, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const writing = this.#write(attempt, chunks);
    // The end of the attempt waits for its log, however the log ends.
    attempt.log = writing.catch(() => {});
    await writing;
  }

  /** A log that was cut off comes again from its start. */
  async #write(attempt: Attempt, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const again = attempt.log !== undefined || attempt.adopted === true;
    const writer = await this.#logs.create(attempt.drv, again ? { since: attempt.startedAt } : {});
    try {
      // One byte more than it takes lets the writer note that the log was cut.
      for await (const chunk of decodeLog(chunks, { maxBytes: writer.maxBytes + 1 })) {
        this.#counters.metrics.add("logBytes", chunk.length);
        await writer.write(chunk);
      }
    } finally {
      await writer.close();
    }
  }
}
