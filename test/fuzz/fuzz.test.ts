/** A slice of `npm run fuzz`: every reader of foreign bytes answers mutated inputs with values or typed errors. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fuzz } from "./run.js";
import { type OpenTargets, openTargets } from "./targets/index.js";

let open: OpenTargets;
beforeAll(async () => {
  open = await openTargets();
});
afterAll(() => open[Symbol.asyncDispose]());

describe("fuzzing", () => {
  it("finds nothing in 20,000 cases", async () => {
    const report = await fuzz({ targets: open.targets, cases: 20_000, seed: 7 });
    expect(report.findings.map(({ target, what }) => `${target}: ${what}`)).toEqual([]);
    expect(report.byTarget.size).toBe(open.targets.length);
  });

  it("notices a reader that throws what is no typed error, and one that hangs the event loop", async () => {
    const seeds = [Buffer.from("x")];
    const spin = (): void => {
      const before = process.cpuUsage();
      // Asking is most of what it does, and that is the system's time.
      for (let spent = 0; spent < 300_000; ) {
        const { user, system } = process.cpuUsage(before);
        spent = user + system;
      }
    };
    const bad = [
      { name: "throws", seeds, run: () => Promise.reject(new TypeError("undefined is not a function")) },
      { name: "spins", seeds, run: spin },
    ];
    const { findings } = await fuzz({ targets: bad, cases: 6, seed: 1 });
    expect(new Set(findings.map(({ target }) => target))).toEqual(new Set(["throws", "spins"]));
  });
});
