/**
 * How long steps of a kind usually take, as the rows tell.
 *
 * Names are not indexed, so PostgreSQL reads all recent steps to answer for one kind: half a second in a database that has
 * been in use for long. So all kinds are read at once, now and then; ingestion waits for the first time only.
 */
import type { HydraDatabase, StepKind } from "../../database/index.js";
import type { Logger } from "../../log.js";

/** Where durations come from. */
export interface UsualDurationsOptions {
  readonly database: Pick<HydraDatabase, "stepDurations">;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** Medians of thousands of steps change slowly. */
const freshForMs = 600_000;

/** Usual durations of all kinds of steps. */
export class UsualDurations {
  readonly #options: UsualDurationsOptions;
  /** Seconds by `system/name`. */
  #known: ReadonlyMap<string, number> | undefined;
  #readAt = 0;
  #reading: Promise<void> | undefined;

  constructor(options: UsualDurationsOptions) {
    this.#options = options;
  }

  /** They were read at least once. */
  get loaded(): boolean {
    return this.#known !== undefined;
  }

  /** Reads them when that is due, and waits for it when none are known. Where it fails, the next call tries again. */
  async load(): Promise<void> {
    if (this.#known === undefined || this.#options.now() - this.#readAt >= freshForMs) {
      this.#reading ??= this.#read();
    }
    if (this.#known === undefined) await this.#reading;
  }

  /** Milliseconds; undefined for a kind without a recent success. */
  ofKind({ system, name }: StepKind): number | undefined {
    const seconds = this.#known?.get(`${system}/${name}`);
    return seconds === undefined ? undefined : seconds * 1000;
  }

  async #read(): Promise<void> {
    try {
      this.#known = await this.#options.database.stepDurations();
      this.#readAt = this.#options.now();
    } catch (error) {
      this.#options.logger.debug("durations of earlier builds are not available", { error });
    } finally {
      this.#reading = undefined;
    }
  }
}
