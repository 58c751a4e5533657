// Programs that have a few file descriptors left, now more, now fewer, or none: what begins with some of those that it
// needs and ends without the others is not stuck afterwards.
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { withFewDescriptors } from "../support/few-descriptors.js";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";

const ascending = (a: unknown, b: unknown): number => Number(a) - Number(b);

const pair = usePair(async () => ({
  databaseUrl: await testDatabase(),
  builders: [{ settings: { maxJobs: 8 } }],
}));

const ask = (path: string): Promise<boolean> =>
  fetch(`${pair().statusUrl}${path}`, { signal: AbortSignal.timeout(1_000) }).then(
    ({ ok }) => ok,
    () => false,
  );

/** With files that are read after the build. */
const described = (index: number): string =>
  `mkdir -p $out/nix-support; echo 'file doc '$out/doc > $out/nix-support/hydra-build-products; echo "seconds ${index}" > $out/nix-support/hydra-metrics; echo text > $out/doc`;

test.each(["runner", "builder"] as const)(
  "builds begin and end while the %s can open few files",
  async (which) => {
    const { tables, runner } = pair();
    const builder = pair().builder().process;
    const counts = [0, 1, 2, 3, 5, 8, 12];
    const perCount = 3;
    const drvs = await pair().instantiate(
      ...Array.from({ length: counts.length * perCount }, (_, index) =>
        shellDerivation(
          `few-${which}-${index}`,
          `/bin/busybox sleep ${index % 3}; echo the log of ${index}; ${index % 4 === 3 ? "exit 1" : described(index)}`,
        ),
      ),
    );
    const ids: number[] = [];
    for (const [round, free] of counts.entries()) {
      const some = drvs.slice(round * perCount, (round + 1) * perCount);
      ids.push(...(await tables.addBuilds(some.map((drv) => ({ drv, jobsetId: pair().jobsetId })))));
      await withFewDescriptors(which === "runner" ? runner : builder, free, async () => {
        for (let count = 0; count < 10; count++) void ask("/");
        await sleep(1_200);
      });
      // Descriptors that come back for a moment make things begin that then end without.
      await sleep(100);
    }
    for (const path of ["/", "/health", "/metrics", "/api/overview"])
      await until(`an answer to ${path}`, () => ask(path));
    await tables.waitFinished(ids);
    const rows = await tables.rows(ids);
    expect(rows.Builds.map(({ buildstatus }) => buildstatus)).toEqual(
      ids.map((_, index) => (index % 4 === 3 ? 1 : 0)),
    );
    // Nothing that a build says of itself was lost.
    const succeeded = ids.filter((_, index) => index % 4 !== 3);
    expect(rows.BuildProducts.map(({ build }) => build).sort(ascending)).toEqual(
      [...succeeded].sort(ascending),
    );
    expect(rows.BuildMetrics.map(({ build }) => build).sort(ascending)).toEqual(
      [...succeeded].sort(ascending),
    );
    expect(await tables.busySteps()).toEqual([]);
    expect(runner.running && builder.running).toBe(true);
  },
);
