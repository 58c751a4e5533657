// The history of a real farm, exported from its database and replayed.
import { expect, test } from "vitest";
import { openHydraDatabase } from "../../lib/database/index.js";
import { openStore } from "../../lib/nix/index.js";
import { exportTrace, parseTrace, replay } from "../../lib/testing/index.js";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { testDatabase } from "../support/test-database.js";

let databaseUrl = "";
const pair = usePair(async () => {
  databaseUrl = await testDatabase();
  return { databaseUrl, builders: [{ settings: { maxJobs: 2, supportedFeatures: ["kvm"] } }] };
});

test("what was built becomes a trace that replays, with names or without", async () => {
  const since = Math.floor(Date.now() / 1000);
  const [drv = ""] = await pair().instantiate(
    `let lib = ${shellDerivation("trace-lib", "echo lib > $out", 'requiredSystemFeatures = "kvm";')}; in ${shellDerivation(
      "trace-app",
      "read x < $lib; echo $x > $out",
      "lib = lib;",
    )}`,
  );
  const ids = await pair().tables.addBuilds([
    { drv, jobsetId: pair().jobsetId },
    { drv, jobsetId: pair().jobsetId },
  ]);
  await pair().tables.waitFinished(ids);

  await using database = await openHydraDatabase({ url: databaseUrl, dataDir: "", maxConnections: 1 });
  await using store = await openStore(pair().store.remote, { env: pair().store.env });
  const span = { database, store, since, until: since + 3600 };
  const { trace, unreadable, cachedBuilds } = await exportTrace(span);
  expect({ unreadable, cachedBuilds }).toEqual({ unreadable: 0, cachedBuilds: 0 });
  expect(
    trace.steps.map(({ name, features, inputs }) => ({ name, features, inputs: inputs.length })),
  ).toEqual(
    expect.arrayContaining([
      { name: "trace-app", features: [], inputs: 1 },
      { name: "trace-lib", features: ["kvm"], inputs: 0 },
    ]),
  );
  expect(trace.builds.map(({ id }) => id)).toEqual(ids);
  expect(trace.machines).toMatchObject([{ hostname: pair().builder(0).name, features: ["kvm"], maxJobs: 1 }]);
  expect(parseTrace(JSON.stringify(trace))).toEqual(trace);

  const report = replay(trace);
  expect(report).toMatchObject({ steps: 2, unsupported: [] });
  const work = trace.steps.reduce((sum, { durationMs }) => sum + durationMs, 0);
  expect(report.makespanMs).toBeGreaterThanOrEqual(work);

  const hashed = (await exportTrace({ ...span, hashNames: true })).trace;
  const secret = new RegExp(`trace-|${pair().builder(0).name}|${drv.slice(0, 32)}`);
  expect(JSON.stringify(hashed)).not.toMatch(secret);
  expect(JSON.stringify(trace)).toMatch(secret);
  expect(replay(hashed).makespanMs).toBe(report.makespanMs);
});
