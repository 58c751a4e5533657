import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { atLeast, atMost, ratioAtMost } from "../../bench/benchmark.js";
import { keepRows, rowOf, rowsOf, tableOf } from "../../bench/results.js";

const stamp = { bench: "trivial", node: "v20.0.0", at: "2026-01-01T00:00:00.000Z" };

describe("results of benchmarks", () => {
  it("judges a figure, or its ratio to the yardstick of the same run", () => {
    const yardstick = { name: "nix-build -j8, s", value: 2 };
    const ratio = rowOf({ figure: "ours", value: 3.1, unit: "s", yardstick, goal: ratioAtMost(1.5) }, stamp);
    expect(ratio).toMatchObject({
      yardstick: "nix-build -j8, s 2",
      ratio: 1.55,
      goal: "ratio at most 1.5",
      met: false,
    });
    expect(rowOf({ figure: "rate", value: 450, unit: "steps/s", goal: atLeast(450) }, stamp).met).toBe(true);
    expect(rowOf({ figure: "start", value: 151, unit: "ms", goal: atMost(150) }, stamp).met).toBe(false);
    expect(rowOf({ figure: "ours", value: 3.1, unit: "s", goal: ratioAtMost(9) }, stamp).met).toBe(false);
  });

  it("shows a figure without a goal as one that was not judged", () => {
    const rows = rowsOf({ "builds per second": 100.123456 }, stamp);
    expect(rows[0]).toMatchObject({ value: 100.1, goal: null, met: null });
    expect(tableOf(rows).split("\n")).toEqual([
      "bench    figure             value  unit  yardstick  ratio  goal  met",
      "trivial  builds per second  100.1",
    ]);
  });

  it("keeps the rows of other benchmarks, and of other versions of Node", async () => {
    const folder = await mkdtemp(join(tmpdir(), "bench-results-"));
    try {
      const file = join(folder, "results/latest.json");
      const of = (bench: string, node: string, value: number) =>
        rowsOf([{ figure: "f", value, unit: "s" }], { ...stamp, bench, node });
      await keepRows(file, of("a", "v20", 1), { cpus: 2 });
      await keepRows(file, of("b", "v20", 2), { cpus: 2 });
      await keepRows(file, of("a", "v24", 3), { cpus: 2 });
      await keepRows(file, of("a", "v20", 4), { cpus: 2 });
      const { rows } = JSON.parse(await readFile(file, "utf8")) as { rows: { value: number }[] };
      expect(rows.map(({ value }) => value)).toEqual([2, 3, 4]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
