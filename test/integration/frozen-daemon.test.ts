// A nix-daemon that stands still for 25 s, under the runner and under the builder: builds wait for it, none is lost.
import { basename } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { descendants, shellDerivation, type TestNixStore } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";

const pair = usePair(async () => ({
  databaseUrl: await testDatabase(),
  builders: [{ settings: { maxJobs: 4 } }],
  // Whatever is lost once is lost.
  runner: { maxRetries: 0 },
}));

/**
 * Stops the daemon, its workers and their builds; the result lets them go on. The daemon first, and then again until there is
 * no new one: a worker that was forked meanwhile would go on answering.
 */
async function freeze(store: TestNixStore): Promise<() => void> {
  const { daemonPid } = store;
  if (daemonPid === undefined) throw new Error("the store has no daemon");
  const stopped = new Set<number>();
  let found = [daemonPid];
  while (found.length > 0) {
    for (const pid of found) {
      signalIfThere(pid, "SIGSTOP");
      stopped.add(pid);
    }
    found = (await descendants(daemonPid)).filter((pid) => !stopped.has(pid));
  }
  return () => {
    for (const pid of stopped) signalIfThere(pid, "SIGCONT");
  };
}

/** The family was counted a moment before; a worker or a build of it may have ended since. */
function signalIfThere(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

interface Health {
  readonly ok: boolean;
  readonly codes: readonly string[];
}

/** Undefined when no answer came in time, as on a busy machine. */
async function ask(path: string): Promise<{ readonly ok: boolean; readonly text: string } | undefined> {
  try {
    const response = await fetch(pair().statusUrl + path, { signal: AbortSignal.timeout(2_000) });
    return { ok: response.ok, text: await response.text() };
  } catch {
    return undefined;
  }
}

async function health(): Promise<Health | undefined> {
  const answer = await ask("/health");
  if (answer === undefined) return undefined;
  const { problems } = JSON.parse(answer.text) as { problems: { code: string }[] };
  return { ok: answer.ok, codes: problems.map(({ code }) => code) };
}

/** The queue is read, and the machine without a store is why nothing of it is sent there. */
async function getsNoWork(builds: readonly number[], drv: string): Promise<void> {
  await until("the machine to be why", async () =>
    (await ask(`/status/steps/${basename(drv)}/why`))?.text.includes("storeSilent"),
  );
  expect((await pair().tables.rows(builds)).BuildSteps).toEqual([]);
}

test.each(["runner", "builder"] as const)("of the %s", async (which) => {
  const { tables, runner } = pair();
  const builder = pair().builder();
  const drvs = await pair().instantiate(
    ...Array.from({ length: 8 }, (_, index) =>
      shellDerivation(`${which}-${index}`, `/bin/busybox sleep ${2 + 3 * (index % 4)}; echo > $out`),
    ),
  );
  const add = (some: readonly string[]): Promise<number[]> =>
    tables.addBuilds(some.map((drv) => ({ drv, jobsetId: pair().jobsetId })));
  const early = await add(drvs.slice(0, 4));
  for (const id of early) await tables.waitBusy(id);
  const thaw = await freeze(which === "runner" ? pair().store : builder.store);
  const begun = Date.now();
  try {
    const code = { runner: "store-silent", builder: "machine-store-silent" }[which];
    await until("/health to say it", async () => (await health())?.codes.includes(code), {
      timeoutMs: 15_000,
    });
    const late = await add(drvs.slice(4));
    if (which === "builder") await getsNoWork(late, drvs[4] ?? "");
    await sleep(25_000 - (Date.now() - begun));
    if (which === "builder") expect((await tables.rows(late)).BuildSteps).toEqual([]);
    early.push(...late);
  } finally {
    thaw();
  }
  await tables.waitFinished(early);
  const rows = await tables.rows(early);
  expect(rows.Builds.map(({ buildstatus }) => buildstatus)).toEqual(early.map(() => 0));
  expect(rows.BuildSteps.map(({ status }) => status)).toEqual(early.map(() => 0));
  expect(runner.running && builder.process.running).toBe(true);
  await until("/health to be well again", async () => (await health())?.ok);
});
