/** The log of one build on its way to the runner: one call, made while the build runs. */
import { withSignal } from "../../async/index.js";
import type { Logger } from "../../log.js";
import type { StorePath } from "../../nix/path/store-path.js";
import { encodeLog } from "../../rpc/index.js";
import type { RunnerLink } from "../connection/runner-link.js";
import type { MutableCounters } from "../counters.js";
import { LogSpool } from "./log-spool.js";

const newline = Uint8Array.of(0x0a);

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
  #full = false;
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
    if (this.#full) return;
    try {
      await this.#spool.append(complete ? Buffer.concat([line, newline]) : line);
      this.#lineOpen = !complete;
      this.#options.counters.logBytes += line.length + (complete ? 1 : 0);
    } catch (error) {
      // A build is worth more than its log.
      this.#full = true;
      this.#options.logger.warn("the rest of a log is lost", { drv: this.#options.drv, error });
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
    this.#spool.end();
    const timer = setTimeout(
      () => this.#stop.abort(new Error("the runner did not take it in time")),
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
