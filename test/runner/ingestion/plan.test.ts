import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { StorePath } from "../../../lib/nix/path/store-path.js";
import { planIngestion } from "../../../lib/runner/ingestion/plan.js";
import type { Verdict } from "../../../lib/runner/ingestion/verdict.js";
import type { StepFacts } from "../../../lib/runner/state/derivation-catalog.js";

function path(n: number | string): StorePath {
  return `${"0".repeat(32)}-${n}.drv` as StorePath;
}

function facts(drv: StorePath, inputs: readonly StorePath[]): StepFacts {
  return {
    drv,
    name: drv,
    system: "x86_64-linux",
    features: [],
    preferLocal: false,
    outputs: new Map(),
    inputs: inputs.map((input) => ({ drv: input, chain: [] })),
    needsResolution: false,
    impure: false,
  };
}

const missing = (drv: StorePath, inputs: readonly StorePath[] = []): [StorePath, Verdict] => [
  drv,
  { kind: "missing", facts: facts(drv, inputs) },
];

describe("planIngestion", () => {
  const [a, b, c, d] = [path("a"), path("b"), path("c"), path("d")] as const;

  test("everything missing below a build becomes a step, once", () => {
    const verdicts = new Map([missing(a, [b, c]), missing(b, [d]), missing(c, [d]), missing(d)]);
    const plan = planIngestion(new Set([a]), verdicts);
    expect(plan.fates.get(a)).toEqual({ kind: "queued" });
    expect(plan.steps.map((step) => step.facts.drv).sort()).toEqual([a, b, c, d].sort());
  });

  test("a complete root is a cached build and needs no steps", () => {
    const verdicts = new Map<StorePath, Verdict>([[a, { kind: "complete", facts: facts(a, [b]) }]]);
    const plan = planIngestion(new Set([a]), verdicts);
    expect(plan.fates.get(a)?.kind).toBe("cached");
    expect(plan.steps).toEqual([]);
  });

  test("a failure far below decides the builds above it and nothing else", () => {
    const verdicts = new Map<StorePath, Verdict>([
      missing(a, [b]),
      missing(b, [c]),
      [c, { kind: "failedBefore", facts: facts(c, []) }],
      missing(d),
    ]);
    const plan = planIngestion(new Set([a, c, d]), verdicts);
    expect(plan.fates.get(a)).toMatchObject({ kind: "failedBefore", own: false });
    expect(plan.fates.get(c)).toMatchObject({ kind: "failedBefore", own: true });
    expect(plan.fates.get(d)).toEqual({ kind: "queued" });
    expect(plan.steps.map((step) => step.facts.drv)).toEqual([d]);
  });

  test("an unreadable derivation names itself as the reason", () => {
    const verdicts = new Map<StorePath, Verdict>([
      missing(a, [b]),
      [b, { kind: "unreadable", reason: "gone" }],
    ]);
    expect(planIngestion(new Set([a]), verdicts).fates.get(a)).toEqual({
      kind: "unreadable",
      drv: b,
      reason: "gone",
    });
  });

  test("a chain of 100,000 derivations does not exhaust the stack", () => {
    const verdicts = new Map<StorePath, Verdict>();
    const length = 100_000;
    for (let n = 0; n < length; n++) {
      const [drv, verdict] = missing(path(n), n + 1 < length ? [path(n + 1)] : []);
      verdicts.set(drv, verdict);
    }
    expect(planIngestion(new Set([path(0)]), verdicts).steps).toHaveLength(length);
  });

  test("no step of a queued build depends on something that can never be built", () => {
    const kinds = fc.constantFrom("missing", "complete", "failedBefore", "unreadable", "scheduled");
    const node = fc.record({ kind: kinds, inputs: fc.array(fc.nat(30), { maxLength: 4 }) });
    fc.assert(
      fc.property(fc.array(node, { minLength: 1, maxLength: 30 }), (nodes) => {
        const verdicts = new Map<StorePath, Verdict>();
        nodes.forEach(({ kind, inputs }, index) => {
          // Inputs point to later nodes only: derivations cannot form a circle.
          const below = inputs.filter((n) => n > index && n < nodes.length).map(path);
          const own = facts(path(index), below);
          if (kind === "scheduled") verdicts.set(own.drv, { kind });
          else if (kind === "unreadable") verdicts.set(own.drv, { kind, reason: "gone" });
          else verdicts.set(own.drv, { kind, facts: own });
        });
        const roots = new Set([path(0)]);
        const plan = planIngestion(roots, verdicts);
        const steps = new Set(plan.steps.map((step) => step.facts.drv));
        expect(steps.size).toBe(plan.steps.length);
        for (const { facts: step } of plan.steps) {
          for (const { drv } of step.inputs) {
            const kind = verdicts.get(drv)?.kind;
            expect(kind === "complete" || kind === "scheduled" || steps.has(drv)).toBe(true);
          }
        }
      }),
    );
  });
});
