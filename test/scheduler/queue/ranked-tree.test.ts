/** The tree of runnable steps against a sorted list. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { jobsetId } from "../../../lib/scheduler/index.js";
import { intersects, maskOf } from "../../../lib/scheduler/queue/jobset-mask.js";
import { Jobset, JobsetSet } from "../../../lib/scheduler/queue/jobset-shares.js";
import { type RankedNode, RankedTree } from "../../../lib/scheduler/queue/ranked-tree.js";
import { StepKeys } from "../../../lib/scheduler/queue/step-keys.js";
import { type RankedStep, withRdeps } from "../../../lib/scheduler/queue/step-order.js";

// More than two words of bits.
const jobsets = Array.from(
  { length: 70 },
  (_, index) =>
    new Jobset(jobsetId(index), index, { id: jobsetId(index), project: "p", name: "j", shares: 1 }),
);
const someJobsets = fc.uniqueArray(fc.nat({ max: jobsets.length - 1 }), { minLength: 1, maxLength: 4 });

interface Arrival {
  readonly jobsets: readonly number[];
  readonly priority: number;
  readonly dependents: number;
}

function stepOf(arrival: Arrival, sequence: number): RankedStep {
  const set = new JobsetSet(arrival.jobsets.flatMap((index) => jobsets[index] ?? []));
  const keys = new StepKeys(set);
  keys.localPriority = arrival.priority;
  const described = (): never => {
    throw new Error("named orders look at the step itself");
  };
  const rank = { dependentCount: arrival.dependents, criticalPath: 0, sequence };
  return { keys, ...rank, ordered: undefined, describe: described };
}

it("finds the first step of any jobsets, and which jobsets have steps", () => {
  const arrivals = fc.array(
    fc.record({
      jobsets: someJobsets,
      priority: fc.nat({ max: 3 }),
      dependents: fc.nat({ max: 3 }),
      leaves: fc.option(fc.nat({ max: 50 }), { nil: undefined }),
    }),
    { maxLength: 60 },
  );
  fc.assert(
    fc.property(arrivals, someJobsets, (events, wanted) => {
      const tree = new RankedTree<RankedStep>(withRdeps);
      const nodes: RankedNode<RankedStep>[] = [];
      for (const [sequence, event] of events.entries()) {
        nodes.push(tree.insert(stepOf(event, sequence)));
        const [gone] = event.leaves === undefined ? [] : nodes.splice(event.leaves % nodes.length, 1);
        if (gone !== undefined) tree.remove(gone);
        const sorted = nodes.map(({ step }) => step).sort(withRdeps.inner);
        expect([...tree]).toEqual(sorted);
        const mask = maskOf(wanted);
        expect(tree.firstOf(mask)).toBe(sorted.find(({ keys }) => intersects(keys.jobsets.mask, mask)));
        for (const [index] of jobsets.entries()) {
          const one = maskOf([index]);
          expect(intersects(tree.mask, one)).toBe(
            sorted.some(({ keys }) => intersects(keys.jobsets.mask, one)),
          );
        }
      }
    }),
    { numRuns: 40 },
  );
});
