/** The queue of runnable steps against a sorted list, while jobsets are charged. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { JobsetSet } from "../../../lib/scheduler/queue/jobset-shares.js";
import {
  Bucket,
  type OrderHolder,
  type QueuedStep,
  ReadyQueue,
} from "../../../lib/scheduler/queue/ready-queue.js";
import { StepKeys } from "../../../lib/scheduler/queue/step-keys.js";
import {
  compareSteps,
  legacy,
  type StepOrder,
  withCriticalPath,
  withRdeps,
} from "../../../lib/scheduler/queue/step-order.js";
import { jobsetsOf } from "./jobsets.js";

interface Queued extends QueuedStep<Queued> {}

// More than two words of bits.
const jobsetCount = 70;
const someJobsets = fc.uniqueArray(fc.nat({ max: jobsetCount - 1 }), { minLength: 1, maxLength: 4 });

type Event =
  | {
      readonly kind: "arrives";
      readonly jobsets: readonly number[];
      readonly priority: number;
      readonly local: number;
      readonly dependents: number;
      readonly path: number;
    }
  | { readonly kind: "leaves"; readonly which: number }
  | { readonly kind: "headLeaves" }
  | { readonly kind: "charge"; readonly jobsets: readonly number[]; readonly ms: number }
  | { readonly kind: "order"; readonly order: StepOrder };

/** Decides alone, by what no named order looks at first. */
const own: StepOrder = {
  name: "own",
  whole: true,
  inner: (a, b) => a.keys.lowestBuild - b.keys.lowestBuild,
  weight: () => 0,
  usesCriticalPath: false,
};

const few = fc.nat({ max: 3 });
const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("arrives" as const),
      jobsets: someJobsets,
      priority: few,
      local: few,
      dependents: few,
      path: few,
    }),
  },
  fc.record({ kind: fc.constant("leaves" as const), which: fc.nat() }),
  fc.record({ kind: fc.constant("headLeaves" as const) }),
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("charge" as const),
      jobsets: someJobsets,
      ms: fc.nat({ max: 3000 }),
    }),
  },
  fc.record({
    kind: fc.constant("order" as const),
    order: fc.constantFrom(legacy, withRdeps, withCriticalPath, own),
  }),
);

it("its head is the first of all steps, whatever comes, goes, and is charged", () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 80 }), (events) => {
      const holder: OrderHolder = { order: withRdeps };
      const { shares, jobsets } = jobsetsOf(jobsetCount, (index) => 1 + (index % 3));
      const setOf = (indices: readonly number[]): JobsetSet =>
        new JobsetSet(indices.flatMap((index) => jobsets[index] ?? []));
      const bucket = new Bucket<Queued>("b", "s", [], false);
      const queue = new ReadyQueue<Queued>(bucket, undefined, false, holder, shares);
      const steps = new Set<Queued>();
      const leave = (step: Queued | undefined): void => {
        if (step === undefined) return;
        queue.remove(step);
        expect([step.queue, step.node, step.ordered]).toEqual([undefined, undefined, undefined]);
        steps.delete(step);
      };
      for (const [sequence, one] of events.entries()) {
        switch (one.kind) {
          case "arrives": {
            const keys = new StepKeys(setOf(one.jobsets));
            keys.globalPriority = one.priority;
            keys.localPriority = one.local;
            keys.lowestBuild = 1000 - sequence;
            const step: Queued = {
              keys,
              bucket,
              sequence,
              dependentCount: one.dependents,
              criticalPath: one.path,
              avoid: undefined,
              tried: false,
              readySince: 0,
              queue: undefined,
              node: undefined,
              ordered: undefined,
              describe: () => ({}) as never,
            };
            steps.add(step);
            queue.insert(step);
            break;
          }
          case "leaves":
            leave([...steps][one.which % Math.max(1, steps.size)]);
            break;
          case "headLeaves":
            leave(queue.head);
            break;
          case "charge":
            shares.charge(setOf(one.jobsets), 0, one.ms);
            break;
          case "order":
            holder.order = one.order;
            queue.rebuild();
            break;
        }
        const [first] = [...steps].sort((a, b) => compareSteps(holder.order, a, b));
        expect(queue.head).toBe(first);
        expect(queue.size).toBe(steps.size);
      }
    }),
    { numRuns: 200 },
  );
});
