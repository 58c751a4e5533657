/** Rows of outputs that did not have to be built: found in the store, or fetched from a substituter. */
import {
  hasStepOf,
  insertDrafts,
  knownStepOutputs,
  type SqlSession,
  type StepDraft,
  type StepNumbers,
} from "../../database/recording/index.js";
import type { Logger } from "../../log.js";
import { printStorePath, type StoreDir, type StorePath } from "../../nix/path/store-path.js";
import type { BuildId } from "../../scheduler/ids.js";
import type { StepFacts } from "../state/derivation-catalog.js";
import type { RetryingTransactions } from "./retrying-transactions.js";
import { foundDraft, outputPaths, type Span } from "./rows.js";

/** Where such rows are written. */
export interface FoundOutputsOptions {
  readonly transactions: RetryingTransactions;
  readonly numbers: StepNumbers;
  readonly storeDir: StoreDir;
  readonly logger: Logger;
}

type Account = (drv: StorePath) => BuildId | undefined;

/** Steps in one transaction. */
const stepsAtOnce = 1000;

/** Writes rows of outputs that no attempt made. */
export class FoundOutputs {
  readonly #transactions: RetryingTransactions;
  readonly #numbers: StepNumbers;
  readonly #storeDir: StoreDir;
  readonly #logger: Logger;

  constructor(options: FoundOutputsOptions) {
    this.#transactions = options.transactions;
    this.#numbers = options.numbers;
    this.#storeDir = options.storeDir;
    this.#logger = options.logger;
  }

  /** One row for each step with outputs that no earlier row has. Errors are logged: nothing depends on it. */
  async found(steps: readonly StepFacts[], account: Account, nowMs: number): Promise<void> {
    for (let from = 0; from < steps.length; from += stepsAtOnce) {
      const chunk = steps.slice(from, from + stepsAtOnce);
      try {
        await this.#transactions.run("found outputs", (session) =>
          this.#write(session, chunk, account, nowMs),
        );
      } catch (error) {
        this.#logger.warn("outputs that were found could not be recorded", { steps: chunk.length, error });
      }
    }
  }

  /** One row for each output. */
  async substituted(
    build: BuildId,
    facts: StepFacts,
    outputs: ReadonlyMap<string, StorePath>,
    span: Span,
  ): Promise<void> {
    const drafts = this.#drafts(build, facts, outputs, span);
    await this.#transactions.run("substituted outputs", (session) =>
      insertDrafts(session, this.#numbers, drafts),
    );
  }

  /** The same for outputs that the build found, unless it has a row of the derivation: `found` may have written one. */
  async foundFor(
    build: BuildId,
    facts: StepFacts,
    outputs: ReadonlyMap<string, StorePath>,
    nowMs: number,
  ): Promise<void> {
    const drafts = this.#drafts(build, facts, outputs, { startMs: nowMs, stopMs: nowMs });
    const drvPath = printStorePath(this.#storeDir, facts.drv);
    await this.#transactions.run("the outputs of a resolved step", async (session) => {
      if (!(await hasStepOf(session, build, drvPath))) await insertDrafts(session, this.#numbers, drafts);
    });
  }

  #drafts(
    build: BuildId,
    facts: StepFacts,
    outputs: ReadonlyMap<string, StorePath>,
    span: Span,
  ): StepDraft[] {
    return outputPaths(this.#storeDir, outputs).map((output) =>
      foundDraft(this.#storeDir, build, facts.drv, [output], span),
    );
  }

  async #write(
    session: SqlSession,
    steps: readonly StepFacts[],
    account: Account,
    nowMs: number,
  ): Promise<void> {
    const drvPaths = steps.map((facts) => printStorePath(this.#storeDir, facts.drv));
    // Asked in the same transaction, so a repetition after a lost answer finds what it wrote itself.
    const known = await knownStepOutputs(session, drvPaths);
    const drafts = steps.flatMap((facts, index): StepDraft[] => {
      const build = account(facts.drv);
      const outputs = outputPaths(this.#storeDir, facts.outputs).filter(
        ({ name, path }) => path !== undefined && !known.has(`${drvPaths[index]}^${name}`),
      );
      if (build === undefined || outputs.length === 0) return [];
      return [foundDraft(this.#storeDir, build, facts.drv, outputs, { startMs: nowMs, stopMs: nowMs })];
    });
    await insertDrafts(session, this.#numbers, drafts);
  }
}
