// Two jobsets with shares 100 and 300 and more work than fits: the machine's time goes to them one to three.
import { expect, test } from "vitest";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { testDatabase } from "../support/test-database.js";

const perJobset = { small: 130, large: 270 };
/** Both jobsets still have work waiting while these are handed out. */
const measured = 160;

const pair = usePair(async () => ({
  databaseUrl: await testDatabase(),
  builders: [{ settings: { maxJobs: 4 } }],
}));

test("four hundred short steps are shared out by 100 : 300", async () => {
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
  const ids = await tables.addBuilds(
    drvs.map((drv, index) => ({ drv, jobsetId: index < perJobset.small ? small : large })),
  );
  await tables.waitFinished(ids);
  await notifications.settle();
  const ofLarge = new Set(ids.slice(perJobset.small).map(String));
  const started = notifications
    .of(ids)
    .filter(({ channel }) => channel === "step_started")
    .slice(0, measured);
  const share = started.filter(({ payload }) => ofLarge.has(payload.split("\t")[0] ?? "")).length;
  expect(share / measured).toBeGreaterThan(0.75 * 0.95);
  expect(share / measured).toBeLessThan(0.75 * 1.05);
});
