// What a small step costs: calls of its builder and transactions. Counts, which are nearly the same on every machine.
import { afterAll, expect, test } from "vitest";
import { DatabaseProxy } from "../support/database-proxy.js";
import { GrpcProxy } from "../support/grpc-proxy.js";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";

const count = 100;
/**
 * What the runner does with the database by the clock, while a slow machine builds: it writes how far steps are at most
 * ten times a second, and looks after its lock and its health.
 */
const byTheClockPerSecond = 13;
const called = new Map<string, number>();
const databaseUrl = await testDatabase();
const proxy = await DatabaseProxy.start(databaseUrl);
afterAll(() => proxy[Symbol.asyncDispose]());

const pair = usePair(async () => ({
  databaseUrl,
  runner: { dbUrl: proxy.url },
  builders: [{ settings: { maxJobs: 4 }, gateway: "counting" }],
  gateways: {
    counting: (upstream) =>
      GrpcProxy.start({
        upstream,
        connections: "shared",
        onCall: (path) => called.set(path, (called.get(path) ?? 0) + 1),
      }),
  },
}));

test("a small step costs three calls of its builder and at most two transactions", async () => {
  const drvs = await pair().instantiate(
    ...Array.from({ length: count }, (_, index) => shellDerivation(`cost-${index}`, `echo ${index} > $out`)),
  );
  called.clear();
  const before = proxy.transactions;
  const started = performance.now();
  const ids = await pair().tables.addBuilds(drvs.map((drv) => ({ drv, jobsetId: pair().jobsetId })));
  // Not by questions to the database, which would be counted.
  await until("all to be announced as finished", () => {
    const heard = pair().notifications.of(ids);
    return heard.filter(({ channel }) => channel === "build_finished").length === count;
  });

  const transactions = proxy.transactions - before;
  const byTheClock = ((performance.now() - started) / 1000) * byTheClockPerSecond;
  expect(transactions).toBeLessThanOrEqual(2 * count + byTheClock);
  const calls = Object.fromEntries([...called].map(([path, times]) => [path.replace(/^.*\//, ""), times]));
  // Phases that last are told as well; how long they last is up to the machine.
  const { BuildStepUpdate: _, ...others } = calls;
  expect(others).toEqual({ BuildLog: count, BuildResult: count, CompleteBuild: count });
});
