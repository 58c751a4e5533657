// What a build costs, through the real programs: API, metrics and journal against what the build counts itself.
import { basename } from "node:path";
import { expect, test } from "vitest";
import type { ApiCost, ApiTry } from "../../lib/status/api/types.js";
import { expectRight, knownBuild, type Truth, truthOf } from "../support/known-build.js";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { complaintsAbout, hasPromtool, namesIn } from "../support/promtool.js";
import { diskFolder } from "../support/temporary-folder.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";

const pair = usePair(async () => ({
  databaseUrl: await testDatabase(),
  // Bytes that are read and written are counted where there is a disk below.
  parent: diskFolder(),
  builders: [{ nixConf: knownBuild.nixConf }],
}));

/** Sum and number of what a histogram observed, by the labels that were asked for. */
async function observed(
  family: string,
  labels = "",
): Promise<{ readonly sum: number; readonly count: number }> {
  const text = await (await fetch(`${pair().statusUrl}/metrics`)).text();
  const value = (suffix: string): number => {
    const lines = text.split("\n").filter((line) => line.startsWith(`hydraqueuerunner_${family}_${suffix}{`));
    return Number(lines.find((line) => line.includes(labels))?.split(" ")[1]);
  };
  return { sum: value("sum"), count: value("count") };
}

const costOf = (cost: ApiCost) => ({
  cpuUserMs: cost.cpuUserMs ?? undefined,
  cpuSystemMs: cost.cpuSystemMs ?? undefined,
  peakMemoryBytes: cost.peakMemory ?? undefined,
  readBytes: cost.readBytes ?? undefined,
  writtenBytes: cost.writtenBytes ?? undefined,
});

test("a build of known cost has it in the API, the metrics and the journal", async () => {
  const [drv = ""] = await pair().instantiate(
    shellDerivation("known", knownBuild.script, knownBuild.attributes),
  );
  const [build = 0] = await pair().tables.addBuilds([{ drv, jobsetId: pair().jobsetId }]);
  await pair().tables.waitFinished([build]);
  const { BuildStepOutputs } = await pair().tables.rows([build]);
  const truth: Truth = await truthOf(pair().builder().store, basename(String(BuildStepOutputs[0]?.path)));

  for (const path of [`/api/builds/${build}`, `/api/steps/${basename(drv)}`]) {
    const cost = await until(`the cost in ${path}`, async () => {
      const { tries } = (await pair().get(path)) as { readonly tries: readonly ApiTry[] };
      return tries[0]?.cost ?? undefined;
    });
    expect(cost.source).toBe("samples");
    expectRight(costOf(cost), truth);
    // The file of the build, and what stands around it.
    expect(cost.outputBytes).toBeGreaterThan(64 * 2 ** 20);
    expect(cost.outputBytes).toBeLessThan(65 * 2 ** 20);
  }

  const [user, system, memory, read, written, output] = await Promise.all([
    observed("step_cpu_seconds", 'mode="user"'),
    observed("step_cpu_seconds", 'mode="system"'),
    ...["step_peak_memory_bytes", "step_read_bytes", "step_written_bytes", "step_output_bytes"].map(
      (family) => observed(family),
    ),
  ]);
  expect([user, system, memory, read, written, output].map((one) => one?.count)).toEqual([1, 1, 1, 1, 1, 1]);
  expectRight(
    {
      cpuUserMs: 1000 * (user?.sum ?? 0),
      cpuSystemMs: 1000 * (system?.sum ?? 0),
      peakMemoryBytes: memory?.sum ?? 0,
      readBytes: read?.sum ?? 0,
      writtenBytes: written?.sum ?? 0,
    },
    truth,
  );

  const line =
    pair()
      .runner.output()
      .split("\n")
      .find((one) => one.includes("step succeeded")) ?? "";
  const field = (name: string): number => Number(new RegExp(` ${name}=(\\d+)`).exec(line)?.[1]);
  expectRight(
    {
      cpuUserMs: field("cpuUserMs"),
      cpuSystemMs: field("cpuSystemMs"),
      peakMemoryBytes: field("peakMemoryBytes"),
      readBytes: field("readBytes"),
      writtenBytes: field("writtenBytes"),
    },
    truth,
  );
}, 180_000);

test.skipIf(!hasPromtool)(
  "promtool has no complaint about a name of ours in what a live runner answers",
  async () => {
    const text = await (await fetch(`${pair().statusUrl}/metrics`)).text();
    const { all, own } = complaintsAbout(text);
    expect(all.length).toBeGreaterThan(10);
    expect(own).toEqual([]);
    // Machines, stores and results are there, so it was not the answer of a runner that has done nothing.
    expect(namesIn(text)).toEqual(
      expect.arrayContaining([
        "hydraqueuerunner_step_cpu_seconds",
        "hydraqueuerunner_step_duration_seconds",
        "hydraqueuerunner_machine_held_until_timestamp",
      ]),
    );
  },
);
