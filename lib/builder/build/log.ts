/**
 * The log of one build on its way to the runner: one call, made while the build runs.
 *
 * A disk that takes nothing must neither end the build nor hold it up for long: what does not fit into memory is tried
 * for a while, then left out, and a note in its place says how much is missing. Text is kept again as soon as it can be.
 */
import { retry, withSignal } from "../../async/index.js";
import { errorChain, isShortage } from "../../errors.js";
import type { Logger } from "../../log.js";
import type { StorePath } from "../../nix/path/store-path.js";
import { encodeLog } from "../../rpc/index.js";
import type { RunnerLink } from "../connection/runner-link.js";
import type { MutableCounters } from "../counters.js";
import { LogSpool } from "./log-spool.js";

const newline = Uint8Array.of(0x0a);

/** How long a lack of space or file descriptors holds a build up, in milliseconds, before text is left out. */
const patienceMs = 10_000;
const retryEveryMs = 200;

/** Whose log it is, and how it gets to the runner. */
export interface BuildLogOptions {
  readonly drv: StorePath;
  readonly link: RunnerLink;
  readonly counters: MutableCounters;
  readonly logger: Logger;
  readonly spoolDirectory: string;
  /** Milliseconds the runner may take for the rest of a log once the build has ended. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

/** Sends the log of one build. A log that cannot be sent is logged as a warning and does not fail the build. */
export class BuildLog {
  readonly #options: BuildLogOptions;
  readonly #spool: LogSpool;
  readonly #stop = new AbortController();
  readonly #sent: Promise<void>;
  /** Bytes that could not be kept since the last that were. */
  #omitted = 0;
  #cause = "";
  #triedAt = 0;
  /** The build's text ends inside a line. */
  #lineOpen = false;
  #settled = false;

  /** Starts the call at once: also a silent build has a log, which is empty. */
  constructor(options: BuildLogOptions) {
    this.#options = options;
    this.#spool = new LogSpool({ directory: options.spoolDirectory });
    this.#sent = this.#send();
  }

  /** A piece of a line; the last one is `complete`. */
  readonly add = async (line: Uint8Array, complete: boolean): Promise<void> => {
    const bytes = complete ? Buffer.concat([line, newline]) : line;
    if (this.#omitted > 0 && !(await this.#resume())) {
      this.#omitted += bytes.length;
    } else if (await this.#keep(bytes, patienceMs)) {
      this.#lineOpen = !complete;
      this.#options.counters.logBytes += bytes.length;
    } else if (!this.#options.signal.aborted) {
      this.#omitted = bytes.length;
      const { drv, logger } = this.#options;
      logger.warn("a log cannot be kept; its text is left out until it can", { drv, cause: this.#cause });
    }
  };

  /** A line of ours, after the build's own text. */
  async note(text: string): Promise<void> {
    if (this.#lineOpen) await this.add(new Uint8Array(0), true);
    await this.add(Buffer.from(text), true);
  }

  /** Waits until the runner has all of it. Never rejects but with the reason of the signal. */
  async finish(): Promise<void> {
    const { deadlineMs, signal } = this.#options;
    this.#spool.end(this.#omitted > 0 ? this.#gap() : undefined);
    const timer = setTimeout(
      () => this.#stop.abort(new Error("the runner did not accept the rest of the log in time")),
      deadlineMs,
    );
    try {
      await withSignal(this.#sent, signal);
    } finally {
      clearTimeout(timer);
      await this.close();
    }
  }

  /** Breaks off what is still under way. */
  async close(): Promise<void> {
    if (!this.#settled) this.#stop.abort(new Error("the build is over"));
    await this.#sent;
    await this.#spool.close();
  }

  /** Whether the spool took it. */
  async #keep(bytes: Uint8Array, patience: number): Promise<boolean> {
    try {
      await retry(() => this.#spool.append(bytes), {
        classify: (error) => (isShortage(error) ? "passing" : "final"),
        delayMs: () => (patience === 0 ? undefined : retryEveryMs),
        budget: { totalMs: patience, doubtfulTries: 1 },
        signal: this.#options.signal,
      });
      return true;
    } catch (error) {
      this.#triedAt = performance.now();
      this.#cause = errorChain(error);
      return false;
    }
  }

  /** Notes what is missing; false when that cannot be kept either. */
  async #resume(): Promise<boolean> {
    if (performance.now() - this.#triedAt < retryEveryMs || !(await this.#keep(this.#gap(), 0))) return false;
    const { drv, logger } = this.#options;
    logger.info("a log can be kept again", { drv, bytesLeftOut: this.#omitted });
    this.#omitted = 0;
    this.#lineOpen = false;
    return true;
  }

  #gap(): Uint8Array {
    return Buffer.from(`\n[${this.#omitted} bytes of the log could not be kept: ${this.#cause}]\n`);
  }

  async #send(): Promise<void> {
    const { drv, link, logger } = this.#options;
    const signal = AbortSignal.any([this.#options.signal, this.#stop.signal]);
    try {
      await link.call((api) => api.buildLog(drv, encodeLog(this.#spool.read(signal)), { signal }), signal);
    } catch (error) {
      if (!this.#options.signal.aborted) logger.warn("a log could not be sent", { drv, error });
    } finally {
      this.#settled = true;
    }
  }
}
