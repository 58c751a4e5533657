// A server that crashes or restarts under a working runner costs nothing but time.
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { connectionSettings, HydraDatabase, Listener, OwnerLock } from "../../lib/database/index.js";
import { startPostgres, type TestPostgres } from "../support/postgres.js";
import { until } from "../support/until.js";

let postgres: TestPostgres;
let url: string;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.close());
beforeEach(async () => {
  url = await postgres.database();
});

it.each(["SIGINT", "SIGKILL"] as const)("after %s to the server everything goes on", async (signal) => {
  await using database = new HydraDatabase({ settings: connectionSettings(url), maxConnections: 3 });
  await using lock = new OwnerLock({ database, checkIntervalMs: 100 });
  await using listener = new Listener({ database, checkIntervalMs: 100 });
  let resyncs = 0;
  listener.onResync(() => resyncs++);
  listener.start();
  expect(await lock.tryAcquire()).toBe(true);
  database.fence(lock);
  await until("the subscription", () => resyncs === 1);

  let written = 0;
  const writers = Array.from({ length: 6 }, async (_, writer) => {
    for (let nr = 0; nr < 5; nr++) {
      await database.transaction(
        async (transaction) => {
          await transaction.query("insert into failedpaths values ($1) on conflict do nothing", [
            `/w${writer}/${nr}`,
          ]);
          await transaction.query("select pg_sleep(0.02)");
        },
        { idempotent: true },
      );
      written++;
      if (written === 8) process.kill(postgres.server.pid!, signal);
    }
  });
  await Promise.all(writers);
  const paths = Array.from({ length: 6 }, (_, w) =>
    Array.from({ length: 5 }, (__, nr) => `/w${w}/${nr}`),
  ).flat();
  expect((await database.failedPaths(paths)).size).toBe(30);
  // A connection that is made while the server goes down is lost again.
  await until("the second subscription", () => resyncs >= 2);
  expect(lock.lost.aborted).toBe(false);
  expect(lock.isHeld).toBe(true);
});
