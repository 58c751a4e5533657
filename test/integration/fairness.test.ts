// Two jobsets with shares 100 and 300 and more work than fits: the machine's time goes to them one to three.
import { expect, test } from "vitest";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";

const perJobset = { small: 130, large: 270 };
/** Both jobsets still have work waiting while these are handed out. */
const measured = 160;

const pair = usePair(async () => ({
  databaseUrl: await testDatabase(),
  builders: [{ settings: { maxJobs: 4 } }],
}));

test("the first of four hundred short steps are shared out by 100 : 300", async () => {
  const { tables, notifications } = pair();
  const small = await tables.addJobset("small", { shares: 100 });
  const large = await tables.addJobset("large", { shares: 300 });
  const expressions = (name: string, count: number): string[] =>
    Array.from({ length: count }, (_, n) =>
      shellDerivation(`${name}-${n}`, `/bin/busybox sleep 0.05; echo ${n} > $out`),
    );
  const drvs = await pair().instantiate(
    ...expressions("small", perJobset.small),
    ...expressions("large", perJobset.large),
  );
  // The queue is read in parts, and begun with the first: each has builds of both.
  const builds = drvs
    .map((drv, index) => ({
      drv,
      jobsetId: index < perJobset.small ? small : large,
      place: (index * 7) % drvs.length,
    }))
    .sort((a, b) => a.place - b.place);
  const ids = await tables.addBuilds(builds);
  const starts = () => notifications.of(ids).filter(({ channel }) => channel === "step_started");
  // What comes after these says nothing about shares.
  await until(`${measured} steps to start`, () => starts().length >= measured, { timeoutMs: 180_000 });
  const ofLarge = new Set(ids.filter((_, index) => builds[index]?.jobsetId === large).map(String));
  const started = starts().slice(0, measured);
  const share = started.filter(({ payload }) => ofLarge.has(payload.split("\t")[0] ?? "")).length;
  expect(share / measured).toBeGreaterThan(0.75 * 0.95);
  expect(share / measured).toBeLessThan(0.75 * 1.05);
});
