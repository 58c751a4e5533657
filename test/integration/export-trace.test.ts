// The history of a real farm, exported from its database and replayed.
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
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

  // The program, beside the runner that works.
  const config = join(pair().folder, "export.toml");
  await writeFile(config, `dbUrl = ${JSON.stringify(databaseUrl)}\nhydraDataDir = "/nowhere"\n`);
  const program = fileURLToPath(new URL("../../dist/bin/queue-runner.js", import.meta.url));
  const from = new Date(since * 1000).toISOString();
  const run = (...args: string[]) =>
    promisify(execFile)(process.execPath, [program, "export-trace", ...args], {
      env: { ...process.env, ...pair().store.env },
    });
  const { stdout, stderr } = await run("--config-path", config, "--since", from);
  expect(parseTrace(stdout)).toEqual(trace);
  expect(stderr).toMatch(
    /trace exported .*steps=2 builds=2 machines=1 derivationsGone=0 buildsWithoutSteps=0/,
  );
  await expect(run("--since", "yesterday")).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringContaining("give a date, such as 2026-11-28"),
  });
});
