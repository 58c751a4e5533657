/** Tells the runner in which phase a build is: in order, without holding the build up. */
import type { Logger } from "../log.js";
import type { StepStatus } from "../rpc/types.js";
import type { RunnerLink } from "./runner-link.js";

/** Milliseconds for one update, which the runner answers without doing any work. */
const updateTimeout = 30_000;

export interface StepUpdatesOptions {
  /** The orders that this build answers, as of now. */
  readonly buildIds: () => readonly string[];
  readonly machineId: string;
  readonly link: RunnerLink;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

export class StepUpdates {
  readonly #options: StepUpdatesOptions;
  #last: Promise<void> = Promise.resolve();

  constructor(options: StepUpdatesOptions) {
    this.#options = options;
  }

  send(status: StepStatus): void {
    this.#last = this.#last.then(() => this.#send(status));
  }

  /** Resolves when all have been answered or given up. */
  async settled(): Promise<void> {
    await this.#last;
  }

  async #send(status: StepStatus): Promise<void> {
    const { buildIds, machineId, link, logger, signal } = this.#options;
    for (const buildId of buildIds()) {
      try {
        await link.call(
          (api) => api.buildStepUpdate({ buildId, machineId, status }, { signal, timeoutMs: updateTimeout }),
          signal,
        );
      } catch (error) {
        if (signal.aborted) return;
        logger.debug("a status was not taken", { buildId, status, error });
      }
    }
  }
}
