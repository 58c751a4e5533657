// Peers that are silent: a database that stands still under running builds, and a start at which nothing answers.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import { afterEach, expect, test } from "vitest";
import { startChild } from "../support/child.js";
import { freePort } from "../support/free-port.js";
import { freezePostgres } from "../support/freeze-postgres.js";
import { shellDerivation } from "../support/nix.js";
import { queueRunnerProgram, usePair } from "../support/pair.js";
import { testDatabase, testPostgres } from "../support/test-database.js";
import { until } from "../support/until.js";

let databaseUrl = "";
const pair = usePair(async () => {
  databaseUrl = await testDatabase();
  return { databaseUrl };
});

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

interface Problem {
  readonly part: string;
  readonly reason: string;
  readonly subject?: string;
}

/** Undefined when no answer came: of a program that starts, or of a busy machine. */
async function health(url: string): Promise<{ ok: boolean; problems: Problem[] } | undefined> {
  try {
    const response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(2_000) });
    const body = (await response.json()) as { problems: Problem[] };
    return { ok: response.ok, problems: body.problems };
  } catch {
    return undefined;
  }
}

/** Accepts connections and never answers. */
async function silentServer(): Promise<number> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    socket.on("error", () => undefined);
    sockets.add(socket);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  ends.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

test("a database that stands still for 25 s costs no running build", { timeout: 180_000 }, async () => {
  const { tables, statusUrl, runner } = pair();
  const ids = await pair().build(
    ...Array.from({ length: 4 }, (_, index) =>
      shellDerivation(`still-${index}`, `/bin/busybox sleep ${10 + index * 10}; echo > $out`),
    ),
  );
  await tables.waitBusy(ids[3] ?? 0);
  const admin = new Client({ connectionString: databaseUrl });
  admin.on("error", () => undefined);
  await admin.connect();
  ends.push(() => admin.end());
  const frozenAt = Date.now();
  const thaw = await freezePostgres(admin);
  ends.push(thaw);
  await until(
    "the trouble to be said",
    async () => (await health(statusUrl))?.problems.some(({ part }) => part === "database"),
    { everyMs: 25 },
  );
  expect(Date.now() - frozenAt).toBeLessThan(5_000);
  expect((await fetch(`${statusUrl}/ready`)).status).toBe(503);
  await sleep(25_000 - (Date.now() - frozenAt));
  expect(await pair().get("/status/machines")).toMatchObject({ machinesCount: 1 });
  thaw();
  await tables.waitFinished(ids);
  const rows = await tables.rows(ids);
  expect(rows.Builds.map(({ buildstatus }) => buildstatus)).toEqual([0, 0, 0, 0]);
  expect(rows.BuildSteps.filter(({ type }) => type === 0)).toHaveLength(4);
  expect(await tables.busySteps()).toEqual([]);
  expect(runner.running).toBe(true);
  await until("the runner to be well", async () => (await health(statusUrl))?.ok);
  expect((await fetch(`${statusUrl}/ready`)).status).toBe(200);
});

/** A second runner with files of its own. */
async function startRunner(settings: readonly string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "silence-"));
  const config = join(folder, "queue-runner.toml");
  await writeFile(
    config,
    [`hydraDataDir = "${folder}/data"`, `rootsDir = "${folder}/roots"`, ...settings].join("\n"),
  );
  const port = await freePort();
  const child = startChild({
    name: "queue-runner",
    command: process.execPath,
    args: [
      queueRunnerProgram,
      ...["--config-path", config, "--rest-bind", `127.0.0.1:${port}`],
      ...["--grpc-bind", `127.0.0.1:${await freePort()}`],
    ],
    env: {
      ...pair().store.env,
      LOGNAME: "tester",
      AWS_ACCESS_KEY_ID: "key",
      AWS_SECRET_ACCESS_KEY: "secret",
    },
  });
  ends.push(async () => {
    await child.kill();
    await rm(folder, { recursive: true, force: true });
  });
  return `http://127.0.0.1:${port}`;
}

test("programs whose log has no reader any more go on", async () => {
  pair().runner.closeOutput();
  pair().builder().process.closeOutput();
  const ids = await pair().build(shellDerivation("unheard", "echo unheard; echo > $out"));
  await pair().tables.waitFinished(ids);
  expect((await pair().tables.rows(ids)).Builds).toMatchObject([{ buildstatus: 0 }]);
  expect(pair().runner.running && pair().builder().process.running).toBe(true);
});

test("the start says that it waits for a database that accepts and never answers", async () => {
  const port = await silentServer();
  const url = await startRunner([`dbUrl = "postgres://hydra@127.0.0.1:${port}/hydra"`]);
  const reason = await until(
    "the reason",
    async () => (await health(url))?.problems.find(({ part }) => part === "database")?.reason,
    { timeoutMs: 15_000 },
  );
  expect(reason).toMatch(/no answer|timeout/);
  expect((await fetch(`${url}/ready`)).status).toBe(503);
});

test("a bucket that accepts and never answers is a problem, not a blocked start", async () => {
  const port = await silentServer();
  const server = await testPostgres();
  const url = await startRunner([
    `dbUrl = "${await server.createDatabase()}"`,
    `remoteStoreAddr = ["s3://silent?endpoint=http://127.0.0.1:${port}&region=eu-west-1"]`,
  ]);
  const reason = await until(
    "the reason",
    async () => (await health(url))?.problems.find(({ part }) => part === "uploads")?.subject,
    { timeoutMs: 20_000 },
  );
  expect(reason).toContain("silent");
  await until(
    "the runner to be active",
    async () => {
      const response = await fetch(`${url}/status`);
      return ((await response.json()) as { queueRunner: { state: string } }).queueRunner.state === "active";
    },
    { timeoutMs: 20_000 },
  );
});
