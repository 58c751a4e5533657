/** Steps as the scheduler gets them: facts of the derivation, and what the rows record about earlier tries. */
import type { HydraDatabase } from "../../database/index.js";
import { printStorePath, type StorePath } from "../../nix/path/store-path.js";
import { stepId } from "../../scheduler/ids.js";
import type { NewStep, StepInput } from "../../scheduler/types.js";
import type { StepFacts } from "../state/derivation-catalog.js";
import type { RunnerStore } from "../state/runner-store.js";
import type { EarlierAttempts, StepHistory } from "./earlier-attempts.js";
import type { UsualDurations } from "./usual-durations.js";
import type { Verdict } from "./verdict.js";

/** Where histories come from. */
export interface StepHistoriesOptions {
  readonly database: Pick<HydraDatabase, "earlierTries">;
  readonly durations: UsualDurations;
  readonly store: Pick<RunnerStore, "storeDir">;
  readonly earlierAttempts: EarlierAttempts;
  readonly now: () => number;
}

/** What the rows record about steps that are new here. */
export class StepHistories {
  readonly #options: StepHistoriesOptions;
  readonly #attempts = new Map<StorePath, StepHistory>();

  constructor(options: StepHistoriesOptions) {
    this.#options = options;
  }

  /** Those of `facts` that were not read yet. */
  unread(facts: readonly StepFacts[]): StepFacts[] {
    return facts.filter(({ drv }) => !this.#attempts.has(drv));
  }

  /** One query for all of them. */
  async read(facts: readonly StepFacts[]): Promise<void> {
    const { database, durations, store, earlierAttempts, now } = this.#options;
    const printed = facts.map(({ drv }) => printStorePath(store.storeDir, drv));
    const [earlier] = await Promise.all([database.earlierTries(printed), durations.load()]);
    facts.forEach(({ drv }, index) => {
      const full = printed[index] ?? "";
      this.#attempts.set(drv, earlierAttempts.of(full, earlier.get(full), now()));
    });
  }

  attempts(drv: StorePath): StepHistory | undefined {
    return this.#attempts.get(drv);
  }

  /** How long such a step took, in milliseconds. */
  expectedMs(facts: StepFacts): number | undefined {
    return this.#options.durations.ofKind(facts);
  }
}

/** A step with those of its inputs that are steps as well; a gated one has none. */
export function newStep(
  facts: StepFacts,
  gated: boolean,
  verdicts: ReadonlyMap<StorePath, Verdict>,
  histories: StepHistories,
): NewStep {
  const inputs: StepInput[] = [];
  for (const input of gated ? [] : facts.inputs) {
    const kind = verdicts.get(input.drv)?.kind;
    if (kind === "missing" || kind === "scheduled" || kind === "uploading") {
      inputs.push({ id: stepId(input.drv), chain: input.chain });
    }
  }
  return {
    id: stepId(facts.drv),
    system: facts.system,
    features: facts.features,
    preferLocal: facts.preferLocal,
    inputs,
    name: facts.name,
    expectedDurationMs: histories.expectedMs(facts),
    gate: gated ? "upload" : undefined,
    ...histories.attempts(facts.drv),
  };
}
