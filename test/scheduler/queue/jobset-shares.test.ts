/** Which jobsets have had least. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { equalMasks, maskOf } from "../../../lib/scheduler/queue/jobset-mask.js";
import { jobsetsOf } from "./jobsets.js";

it("those of a mask that have had least, whatever is charged and whatever shares become", () => {
  const count = 70;
  const index = fc.nat({ max: count - 1 });
  const change = fc.oneof(
    fc.record({ kind: fc.constant("charge" as const), index, amount: fc.nat({ max: 3 }) }),
    fc.record({ kind: fc.constant("shares" as const), index, amount: fc.nat({ max: 3 }) }),
  );
  fc.assert(
    fc.property(fc.array(change), fc.uniqueArray(index), (changes, asked) => {
      const { shares, jobsets } = jobsetsOf(count, (at) => at % 3);
      for (const { kind, index: at, amount } of changes) {
        const jobset = jobsets[at];
        if (jobset === undefined) continue;
        if (kind === "charge") shares.charge(jobset.single, 0, 1000 * amount);
        else shares.upsert({ id: jobset.id, project: "p", name: "j", shares: amount });
        const used = asked.map((one) => jobsets[one]?.shareUsed ?? Number.NaN);
        const least = Math.min(...used);
        const lowest = shares.lowestOf(maskOf(asked));
        expect(lowest.share).toBe(least);
        expect(equalMasks(lowest.jobsets, maskOf(asked.filter((_, place) => used[place] === least)))).toBe(
          true,
        );
      }
    }),
  );
});

it("is found by a look at each word of jobsets, not at each jobset", () => {
  const count = 2000;
  const { shares, jobsets } = jobsetsOf(count, () => 1);
  let looks = 0;
  for (const [index, jobset] of jobsets.entries()) {
    shares.charge(jobset.single, 0, 1000 + ((index * 7919) % count));
    let { shareUsed } = jobset;
    Object.defineProperty(jobset, "shareUsed", {
      get: () => {
        looks++;
        return shareUsed;
      },
      set: (share: number) => {
        shareUsed = share;
      },
    });
  }
  const mask = maskOf(jobsets.keys());
  const events = 100;
  for (let event = 0; event < events; event++) {
    shares.charge(jobsets[(event * 31) % count]?.single ?? shares.empty, 0, 10);
    shares.lowestOf(mask);
  }
  // A few of each word until one has not had less; and the way of one to its place.
  expect(looks / events).toBeLessThanOrEqual(4 * (count / 32));
});
