/**
 * From "what is known of each derivation" to "what becomes of each build": the part of ingestion without any I/O.
 *
 * A derivation that cannot be built (it failed before, or its text cannot be read) decides the fate of every build
 * above it; all other missing derivations below the remaining builds become steps.
 */
import type { StorePath } from "../../nix/path/store-path.js";
import type { StepFacts } from "../state/derivation-catalog.js";
import type { Verdict } from "./verdict.js";

/** What becomes of a build, decided by what is below it. */
export type BuildFate =
  | { readonly kind: "cached"; readonly facts: StepFacts }
  | { readonly kind: "failedBefore"; readonly step: StepFacts; readonly own: boolean }
  | { readonly kind: "unreadable"; readonly drv: StorePath; readonly reason: string }
  | { readonly kind: "queued" };

/** What ingestion does with a set of builds. */
export interface IngestionPlan {
  readonly fates: ReadonlyMap<StorePath, BuildFate>;
  /** Missing derivations below the queued builds; every input that is a step comes with it or is scheduled. */
  readonly steps: readonly { readonly facts: StepFacts; readonly gated: boolean }[];
}

type Culprit = { readonly drv: StorePath; readonly verdict: Verdict };

const none: ReadonlyMap<StorePath, undefined> = new Map();

function someFail(verdicts: ReadonlyMap<StorePath, Verdict>): boolean {
  for (const { kind } of verdicts.values()) if (kind === "failedBefore" || kind === "unreadable") return true;
  return false;
}

/** Finds, for every derivation below `roots`, the nearest derivation that makes it unbuildable. Iterative. */
function findCulprits(
  roots: Iterable<StorePath>,
  verdicts: ReadonlyMap<StorePath, Verdict>,
): Map<StorePath, Culprit | undefined> {
  const culprits = new Map<StorePath, Culprit | undefined>();
  const opened = new Set<StorePath>();
  for (const root of roots) {
    const stack: StorePath[] = [root];
    while (stack.length > 0) {
      const drv = stack.at(-1) as StorePath;
      if (culprits.has(drv)) {
        stack.pop();
        continue;
      }
      const verdict = verdicts.get(drv);
      if (verdict?.kind === "failedBefore" || verdict?.kind === "unreadable") {
        culprits.set(drv, { drv, verdict });
        stack.pop();
        continue;
      }
      const inputs = verdict?.kind === "missing" ? verdict.facts.inputs : [];
      if (!opened.has(drv)) {
        opened.add(drv);
        for (const { drv: input } of inputs) {
          if (!culprits.has(input) && !opened.has(input)) stack.push(input);
        }
        continue;
      }
      let culprit: Culprit | undefined;
      for (const { drv: input } of inputs) culprit ??= culprits.get(input);
      culprits.set(drv, culprit);
      stack.pop();
    }
  }
  return culprits;
}

function fateOf(root: StorePath, verdict: Verdict | undefined, culprit: Culprit | undefined): BuildFate {
  if (culprit?.verdict.kind === "failedBefore") {
    return { kind: "failedBefore", step: culprit.verdict.facts, own: culprit.drv === root };
  }
  if (culprit?.verdict.kind === "unreadable") {
    return { kind: "unreadable", drv: culprit.drv, reason: culprit.verdict.reason };
  }
  return verdict?.kind === "complete" ? { kind: "cached", facts: verdict.facts } : { kind: "queued" };
}

/** Decides over all `roots` at once. `verdicts` must cover everything below them that is not complete. */
export function planIngestion(
  roots: ReadonlySet<StorePath>,
  verdicts: ReadonlyMap<StorePath, Verdict>,
): IngestionPlan {
  const culprits = someFail(verdicts) ? findCulprits(roots, verdicts) : none;
  const fates = new Map<StorePath, BuildFate>();
  for (const root of roots) fates.set(root, fateOf(root, verdicts.get(root), culprits.get(root)));

  const steps: { facts: StepFacts; gated: boolean }[] = [];
  const seen = new Set<StorePath>();
  const stack = [...roots].filter((root) => fates.get(root)?.kind === "queued");
  for (let drv = stack.pop(); drv !== undefined; drv = stack.pop()) {
    if (seen.has(drv)) continue;
    seen.add(drv);
    const verdict = verdicts.get(drv);
    if (verdict?.kind === "missing") {
      steps.push({ facts: verdict.facts, gated: false });
      for (const { drv: input } of verdict.facts.inputs) if (!seen.has(input)) stack.push(input);
    } else if (verdict?.kind === "uploading") {
      steps.push({ facts: verdict.facts, gated: true });
    }
  }
  return { fates, steps };
}
