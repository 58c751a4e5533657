/**
 * Tells the runner in which phase a build is, without holding the build up.
 *
 * Only phases that last are reported: they are for people, and small builds pass through all of them too fast to see.
 */
import type { Logger } from "../../log.js";
import type { StepStatus } from "../../rpc/types.js";
import type { RunnerLink } from "../connection/runner-link.js";

/** Milliseconds for one update, which the runner answers without doing any work. */
const updateTimeout = 30_000;
/** Milliseconds a phase must last to be reported. */
const reportAfter: Readonly<Record<StepStatus, number>> = {
  preparing: 300,
  connecting: 300,
  sendingInputs: 300,
  building: 300,
  waitingForLocalSlot: 300,
  // The runner gives the slot away when it hears that the build is over.
  receivingOutputs: 75,
  postProcessing: 300,
};

/** Whose phases are reported, and to which runner. */
export interface StepUpdatesOptions {
  /** The orders that this build answers, as of now. */
  readonly buildIds: () => readonly string[];
  readonly machineId: string;
  readonly link: RunnerLink;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/**
 * Reports the phases of one build, at most one call at a time; a phase that ends before its report is due is skipped.
 */
export class StepUpdates {
  readonly #options: StepUpdatesOptions;
  #latest: StepStatus | undefined;
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;

  constructor(options: StepUpdatesOptions) {
    this.#options = options;
  }

  /** The build is in this phase from now on. */
  send(status: StepStatus): void {
    this.#latest = status;
    this.#schedule();
  }

  /** The report follows, which says more than any phase. Resolves when nothing is under way any more. */
  async settled(): Promise<void> {
    this.#latest = undefined;
    clearTimeout(this.#timer);
    await this.#sending;
  }

  /** One update at a time, so that they arrive in order. */
  #schedule(): void {
    const status = this.#latest;
    clearTimeout(this.#timer);
    if (status === undefined || this.#sending !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#latest = undefined;
      this.#sending = this.#send(status).finally(() => {
        this.#sending = undefined;
        this.#schedule();
      });
    }, reportAfter[status]);
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
        logger.debug("the runner did not accept a status update", { status, error });
      }
    }
  }
}
