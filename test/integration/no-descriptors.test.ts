// Programs that have no file descriptor left for a while: what comes meanwhile waits or is refused, and work goes on.
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { withFewDescriptors } from "../support/few-descriptors.js";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";

describe.each(["builder", "runner"] as const)("the %s cannot open a file", (which) => {
  // Processes of its own: what others have left open, such as connections to daemons, would help.
  const pair = usePair(async () => ({
    databaseUrl: await testDatabase(),
    builders: [{ settings: { maxJobs: 8 } }],
  }));

  /** The log of the newest try and, where an upload had to be tried again, of the one that built. */
  async function logsOf(drv: string): Promise<string> {
    const name = basename(drv);
    const path = join(pair().dataDir, "build-logs", name.slice(0, 2), name.slice(2));
    const texts = [path, `${path}.try1`].map((file) => readFile(file, "utf8").catch(() => ""));
    return (await Promise.all(texts)).join("");
  }

  const answers = (): Promise<boolean> =>
    fetch(`${pair().statusUrl}/health`, { signal: AbortSignal.timeout(1_000) }).then(
      () => true,
      () => false,
    );

  test("while eight builds begin and end", async () => {
    const { tables, runner } = pair();
    const builder = pair().builder().process;
    const drvs = await pair().instantiate(
      ...Array.from({ length: 16 }, (_, index) =>
        shellDerivation(
          `${which}-${index}`,
          `/bin/busybox sleep ${index < 8 ? 4 : 1}; echo the log of ${index}; ${index % 4 === 3 ? "exit 1" : "echo > $out"}`,
        ),
      ),
    );
    const add = (some: readonly string[]): Promise<number[]> =>
      tables.addBuilds(some.map((drv) => ({ drv, jobsetId: pair().jobsetId })));
    const early = await add(drvs.slice(0, 8));
    for (const id of early) await tables.waitBusy(id);
    const late: number[] = [];
    await withFewDescriptors(which === "runner" ? runner : builder, 0, async () => {
      // Eight builds end, eight more are queued, and more connections come than can be taken.
      late.push(...(await add(drvs.slice(8))));
      for (let count = 0; count < 50; count++) void answers();
      await sleep(12_000);
    });
    await until("the status server to answer", answers);
    const ids = [...early, ...late];
    await tables.waitFinished(ids);
    const rows = await tables.rows(ids);
    expect(rows.Builds.map(({ buildstatus }) => buildstatus)).toEqual(
      ids.map((_, index) => (index % 4 === 3 ? 1 : 0)),
    );
    expect(await tables.busySteps()).toEqual([]);
    expect(runner.running && builder.running).toBe(true);
    for (const [index, drv] of drvs.entries()) expect(await logsOf(drv)).toContain(`the log of ${index}\n`);
  });
});
