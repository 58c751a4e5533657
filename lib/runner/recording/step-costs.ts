/**
 * Keeps what attempts used, in a table of our own. Written now and then, and nothing waits for it: a database that does
 * not take it costs these rows and nothing else.
 */
import { Microbatch } from "../../async/index.js";
import {
  recordStepResources,
  type StepResourcesRow,
  type TransactionRunner,
} from "../../database/recording/index.js";
import type { Logger } from "../../log.js";
import type { StepResources } from "../events/index.js";
import type { StepRow } from "../state/attempts.js";

/** Rows that wait for the database at most; more are dropped. */
const mostWaiting = 5_000;
const rowsAtOnce = 500;
const patienceMs = 5_000;

/** Where costs are kept. */
export interface StepCostsOptions {
  readonly database: TransactionRunner;
  /** Read at each row. */
  readonly enabled: () => boolean;
  readonly logger: Logger;
}

/** The costs that are to be written. */
export class StepCosts {
  readonly #enabled: () => boolean;
  readonly #logger: Logger;
  readonly #batch: Microbatch<StepResourcesRow, undefined>;
  #waiting = 0;
  #failing = false;

  constructor({ database, enabled, logger }: StepCostsOptions) {
    this.#enabled = enabled;
    this.#logger = logger;
    this.#batch = new Microbatch(
      async (rows) => {
        await database.transaction((session) => recordStepResources(session, rows), {
          idempotent: true,
          patienceMs,
        });
        return rows.map(() => undefined);
      },
      { limit: rowsAtOnce },
    );
  }

  /** Returns at once. Attempts that were not measured have no row. */
  note({ build, stepNumber }: StepRow, used: StepResources | undefined): void {
    if (used?.source === undefined || this.#waiting >= mostWaiting || !this.#enabled()) return;
    this.#waiting++;
    const row = {
      build,
      stepNumber,
      source: used.source,
      cpuUserMs: used.cpuUserMs ?? null,
      cpuSystemMs: used.cpuSystemMs ?? null,
      peakMemory: used.peakMemoryBytes ?? null,
      readBytes: used.readBytes ?? null,
      writtenBytes: used.writtenBytes ?? null,
      outputBytes: used.outputBytes ?? null,
    };
    this.#batch.add(row).then(
      () => this.#written(),
      (error: unknown) => this.#failed(error),
    );
  }

  #written(): void {
    this.#waiting--;
    this.#failing = false;
  }

  #failed(error: unknown): void {
    this.#waiting--;
    if (this.#failing) return;
    this.#failing = true;
    this.#logger.warn(
      "the resources that steps used could not be recorded; `recordResources = false` turns this off (logged again only after it has worked)",
      { error },
    );
  }
}
