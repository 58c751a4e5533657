// SIGTERM lets running steps end and hands out no others; SIGHUP takes new settings over, or none of them.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";

const pair = usePair(async () => ({
  databaseUrl: await testDatabase(),
  builders: [{ settings: { maxJobs: 1 } }],
  runner: { drainTimeoutInS: 20 },
}));

test("SIGTERM: what runs ends and is recorded, what waits is left to the next runner", async () => {
  const [running = 0, waiting = 0] = await pair().build(
    // Long enough for a busy machine to look at the runner meanwhile.
    shellDerivation("running", "/bin/busybox sleep 6; echo > $out"),
    shellDerivation("waiting", "echo > $out"),
  );
  const busy = await pair()
    .tables.waitBusy(running)
    .catch(() => undefined);
  // Either may have been handed out first; the other one waits.
  const [first, second] = busy === undefined ? [waiting, running] : [running, waiting];
  const stopped = pair().runner.stop();
  await until(
    "the runner to drain",
    async () => (await pair().get("/status/overview")).state === "draining",
    {
      everyMs: 5,
    },
  );
  expect(await pair().get("/status/overview")).toMatchObject({ state: "draining", problems: [] });
  expect(await pair().get("/ready")).toMatchObject({ ready: true, state: "draining" });
  await stopped;
  const rows = await pair().tables.rows([first, second]);
  const finished = new Map(rows.Builds.map((build) => [build.id, build.finished]));
  expect([finished.get(first), finished.get(second)]).toEqual([1, 0]);
  expect(rows.Builds.find((build) => build.id === first)?.buildstatus).toBe(0);
  expect(await pair().tables.busySteps()).toEqual([]);
  await pair().startRunner();
  await pair().tables.waitFinished([second]);
  const ends = pair()
    .notifications.of([first])
    .filter(({ channel }) => channel === "build_finished");
  expect(ends).toHaveLength(1);
});

test("a machine that is drained shows it, takes nothing, and works again when it is resumed", async () => {
  const drain = async (action: "drain" | "resume"): Promise<void> => {
    const url = `${pair().statusUrl}/machines/${pair().builder().name}/${action}`;
    expect((await fetch(url, { method: "POST" })).status).toBe(200);
  };
  const machine = async (): Promise<unknown> => {
    const { machines } = await pair().get("/status/overview");
    return Array.isArray(machines) ? machines[0] : undefined;
  };
  await pair().waitForBuilders(1);
  await drain("drain");
  const [id = 0] = await pair().build(shellDerivation("patient", "echo > $out"));
  const { drvpath } = (await pair().tables.rows([id])).Builds[0] ?? {};
  const step = String(drvpath).slice("/nix/store/".length);
  const why = await until("the step to be known", () =>
    pair()
      .get(`/status/steps/${step}/why`)
      .then((answer) => (answer.code === "unknown" ? undefined : answer))
      .catch(() => undefined),
  );
  expect(why).toMatchObject({ code: "machinesBusy" });
  expect(await machine()).toMatchObject({ draining: true, jobs: 0, block: { kind: "draining" } });
  await drain("resume");
  await pair().tables.waitFinished([id]);
  expect(await machine()).toMatchObject({ draining: false, block: null });
});

test("SIGHUP: good settings are taken over, of bad ones nothing is", async () => {
  const file = join(pair().folder, "queue-runner.toml");
  const before = await readFile(file, "utf8");
  const reloads = (text: string): Promise<unknown> =>
    until(text, () => pair().runner.output().includes(text));
  await writeFile(file, `${before}machineSortFn = "SpeedFactorOnly"\nmaxConcurrentDownloads = 7\n`);
  process.kill(pair().runner.pid, "SIGHUP");
  await reloads("settings reloaded");
  expect(pair().runner.output()).toMatch(/changed="?machineSortFn,maxConcurrentDownloads/);
  await writeFile(file, `${before}machineSortFun = "SpeedFactorOnly"\n`);
  process.kill(pair().runner.pid, "SIGHUP");
  await reloads("settings not reloaded");
  expect(pair().runner.output()).toContain("machineSortFun");
  const ids = await pair().build(shellDerivation("after", "echo > $out"));
  await pair().tables.waitFinished(ids);
});

test("SIGHUP to a builder: the runner learns new settings, a bad file changes nothing, and builds go on", async () => {
  const file = join(pair().folder, "builder-0.toml");
  const before = await readFile(file, "utf8");
  const { process: child } = pair().builder();
  const reload = async (text: string, answer: string): Promise<void> => {
    await writeFile(file, text);
    process.kill(child.pid, "SIGHUP");
    await until(answer, () => child.output().includes(answer));
  };
  const known = async (): Promise<unknown> => {
    const { machines } = await pair().get("/status/overview");
    return Array.isArray(machines) ? machines.map(({ maxJobs }: { maxJobs: unknown }) => maxJobs) : undefined;
  };
  await pair().waitForBuilders(1);
  expect(await known()).toEqual([1]);
  await reload(before.replace("maxJobs = 1", "maxJobs = 3"), "settings reloaded changed=maxJobs");
  await until("the runner to know", async () => JSON.stringify(await known()) === "[3]");
  await reload(before.replace("maxJobs = 1", "maxJobs = -3"), "settings not reloaded");
  expect(child.running).toBe(true);
  const ids = await pair().build(shellDerivation("after-reload", "echo > $out"));
  await pair().tables.waitFinished(ids);
  expect(await known()).toEqual([3]);
});
