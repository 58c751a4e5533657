// A runner in the year 2040: times that 32-bit columns cannot hold are clamped, wider columns get them as they are.
import { basename } from "node:path";
import { expect, test } from "vitest";
import { shellDerivation } from "../../support/nix.js";
import { usePair } from "../../support/pair.js";
import { testDatabase } from "../../support/test-database.js";
import { until } from "../../support/until.js";
import { shapes } from "./shapes.js";

const later = 442_000_000;
const last = 2 ** 31 - 1;
const clock = `const%20real=Date.now;Date.now=()=>real()+${later}000`;

const pair = usePair(async () => ({
  databaseUrl: await testDatabase(),
  runnerEnv: { NODE_OPTIONS: `--import=data:text/javascript,${clock}` },
}));

const quick = (name: string, script = "echo > $out", attributes = ""): string =>
  shellDerivation(name, script, attributes);

/** Success, failure, cached result and a cancel: every statement that writes a time. */
async function everything(prefix: string): Promise<number[]> {
  const ids = await pair().build(quick(`${prefix}-works`), quick(`${prefix}-fails`, "exit 1"));
  await pair().tables.waitFinished(ids);
  const failing = quick(`${prefix}-fails`, "exit 1");
  ids.push(
    ...(await pair().build(
      quick(`${prefix}-works`),
      quick(`${prefix}-needs-it`, "echo > $out", `input = ${failing};`),
      quick(`${prefix}-endless`, "/bin/busybox sleep 100"),
    )),
  );
  const endless = ids[4] ?? 0;
  await pair().tables.waitBusy(endless);
  await pair().tables.cancel([endless]);
  await pair().tables.waitFinished(ids);
  await until("no step to be busy", async () => (await pair().tables.busySteps()).length === 0);
  return ids;
}

const expected = (prefix: string): Record<string, readonly string[]> => ({
  builds: ["0", "1", "0 cached", "2 cached", "4!"],
  steps: [
    `0.1 ${prefix}-works build 0`,
    `1.1 ${prefix}-fails build 1`,
    `3.1 ${prefix}-fails build 8 from 1`,
    `4.1 ${prefix}-endless build 4`,
  ],
});

test("in columns of 32 bits times are the last second that fits", async () => {
  const ids = await everything("narrow");
  expect(await shapes(pair(), ids)).toMatchObject(expected("narrow"));
  const rows = await pair().tables.rows(ids);
  for (const build of rows.Builds.slice(0, 4)) {
    expect(build).toMatchObject({ starttime: last, stoptime: last, notificationpendingsince: last });
  }
  for (const step of rows.BuildSteps.filter(({ status }) => status !== 8)) {
    expect(step).toMatchObject({ starttime: last, stoptime: last });
  }
});

test("in wider columns times are what they are, and a new runner reads them", async () => {
  await pair().runner.stop();
  const wider = (table: string, ...columns: readonly string[]): Promise<unknown> =>
    pair().tables.client.query(
      `alter table ${table} ${columns.map((column) => `alter ${column} type bigint`).join(", ")}`,
    );
  await wider("builds", "timestamp", "starttime", "stoptime", "notificationpendingsince");
  await wider("buildsteps", "starttime", "stoptime");
  await wider("buildmetrics", "timestamp");
  await pair().startRunner();
  await pair().waitForBuilders(1);
  const from = Math.floor(Date.now() / 1000) + later;
  const ids = await everything("wide");
  expect(await shapes(pair(), ids)).toMatchObject(expected("wide"));
  const rows = await pair().tables.rows(ids);
  const to = Math.floor(Date.now() / 1000) + later;
  const times = [
    ...rows.Builds.slice(0, 4).flatMap((row) => [row.starttime, row.stoptime, row.notificationpendingsince]),
    ...rows.BuildSteps.filter(({ status }) => status !== 8).flatMap((row) => [row.starttime, row.stoptime]),
  ].map(Number);
  expect(times).toHaveLength(18);
  expect(Math.min(...times)).toBeGreaterThanOrEqual(from);
  expect(Math.max(...times)).toBeLessThanOrEqual(to);

  // A build that was made in that year: its metrics have its time.
  const [drv = ""] = await pair().instantiate(
    quick("made", "/bin/busybox mkdir -p $out/nix-support; echo lines 7 > $out/nix-support/hydra-metrics"),
  );
  await pair().tables.waitFinished(await pair().tables.addBuilds([{ drv, jobsetId: pair().jobsetId }]));
  const { client } = pair().tables;
  const inserted = await client.query<{ id: number }>(
    `insert into builds (finished, timestamp, jobset_id, job, nixname, drvpath, system)
       values (0, $1, $2, 'made', 'made', $3, 'x86_64-linux') returning id`,
    [from, pair().jobsetId, drv],
  );
  const id = inserted.rows[0]?.id ?? 0;
  await client.query("select pg_notify('builds_added', $1)", [String(id)]);
  await pair().tables.waitFinished([id]);
  const made = await pair().tables.rows([id]);
  expect(made.BuildMetrics).toMatchObject([{ name: "lines", value: 7, timestamp: from }]);
  const { rows: steps } = await client.query<{ stoptime: number }>(
    "select stoptime from buildsteps where drvpath = $1",
    [drv],
  );
  expect(await pair().get(`/status/steps/${basename(drv)}/why`)).toMatchObject({
    code: "finished",
    status: 0,
    at: new Date(Number(steps[0]?.stoptime) * 1000).toISOString().replace(".000", ""),
  });
});
