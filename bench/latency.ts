/**
 * One trivial build at a time on an idle pair: from INSERT + NOTIFY to `finished = 1`, and where the time goes: the hops by
 * the log lines of both programs (milliseconds, so each is a mean), each beside its floor where there is one.
 */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Child } from "../test/support/child.js";
import type { Pair } from "../test/support/pair.js";
import { atMost, type Benchmark, type Result, ratioAtMost } from "./benchmark.js";
import { median, trivialExpressions, withFarm } from "./farm.js";

const warmUp = 10;

/** Moments of one build, in milliseconds since the epoch; durations that its report gives. */
interface Moments {
  readonly inserted: number;
  /** The transaction that inserts and notifies is committed. */
  readonly notified: number;
  readonly sent: number;
  readonly atBuilder: number;
  readonly imported: number;
  readonly built: number;
  readonly uploaded: number;
  readonly taken: number;
  readonly published: number;
  readonly recorded: number;
  readonly seen: number;
}

export const run: Benchmark = async ([builds = "30"]) => {
  const debug = { RUST_LOG: "debug" };
  return withFarm({ runnerEnv: debug, builderEnv: debug }, async (pair) => {
    const moments: Moments[] = [];
    const drvs = await pair.instantiate(...trivialExpressions(Number(builds) + warmUp, "one"));
    for (const [index, drv] of drvs.entries()) {
      const inserted = Date.now();
      const ids = await pair.tables.addBuilds([{ drv, jobsetId: pair.jobsetId }]);
      const notified = Date.now();
      await finished(pair, ids);
      const seen = Date.now();
      if (index >= warmUp) moments.push(await momentsOf(pair, drv, { inserted, notified, seen }));
    }
    const p50 = (of: (each: Moments) => number): number => median(moments.map(of));
    const mean = (of: (each: Moments) => number): number =>
      moments.reduce((sum, each) => sum + of(each), 0) / moments.length;
    const building = { name: "BuildDerivation, ms", value: mean(({ built }) => built) };
    const commit = { name: "one UPDATE, committed, ms", value: await commitMs(pair) };
    const synced = { name: "one file, synced, ms", value: await syncMs(pair) };
    const hop = (figure: string, of: (each: Moments) => number): Result => ({
      figure,
      value: mean(of),
      unit: "ms",
    });
    return [
      {
        figure: "INSERT to finished, p50",
        value: p50(({ inserted, seen }) => seen - inserted),
        unit: "ms",
        yardstick: building,
        goal: ratioAtMost(2),
      },
      {
        figure: "INSERT to order sent, p50",
        value: p50(({ inserted, sent }) => sent - inserted),
        unit: "ms",
        goal: atMost(5),
      },
      {
        figure: "NOTIFY to finished, p50",
        value: p50(({ notified, recorded }) => recorded - notified),
        unit: "ms",
        yardstick: building,
        goal: ratioAtMost(2),
      },
      {
        figure: "NOTIFY to order sent, p50",
        value: p50(({ notified, sent }) => sent - notified),
        unit: "ms",
        goal: atMost(5),
      },
      hop("hop 0: INSERT and NOTIFY, committed", ({ inserted, notified }) => notified - inserted),
      hop("hop 1: to order sent", ({ notified, sent }) => sent - notified),
      hop("hop 2: to the builder", ({ sent, atBuilder }) => atBuilder - sent),
      hop("hop 3: inputs", ({ imported }) => imported),
      hop("hop 4: BuildDerivation", ({ built }) => built),
      hop("hop 5: log, outputs, import into the runner's store", ({ uploaded }) => uploaded),
      hop(
        "hop 6: report, outputs checked",
        ({ atBuilder, imported, built, uploaded, taken }) => taken - atBuilder - imported - built - uploaded,
      ),
      {
        ...hop("hop 7: published (root, NAR, narinfo, log)", ({ taken, published }) => published - taken),
        yardstick: synced,
      },
      {
        ...hop("hop 8: recorded", ({ published, recorded }) => recorded - published),
        yardstick: commit,
      },
      hop("hop 9: seen", ({ recorded, seen }) => seen - recorded),
    ];
  });
};

/** Looks every two milliseconds, so that looking does not show in the figure. */
async function finished(pair: Pair, ids: readonly number[]): Promise<void> {
  for (;;) {
    const { rows } = await pair.tables.client.query<{ open: number }>(
      "select count(*)::int as open from builds where id = any($1) and finished = 0",
      [ids],
    );
    if (rows[0]?.open === 0) return;
    await sleep(2);
  }
}

async function momentsOf(
  pair: Pair,
  drv: string,
  ends: Pick<Moments, "inserted" | "notified" | "seen">,
): Promise<Moments> {
  const name = drv.replace(/^.*\//, "");
  const runner = (message: string): Promise<Line> => lineOf(pair.runner, message, name);
  const started = await runner("step started");
  const taken = await runner("step succeeded");
  const recorded = await runner("build finished");
  const published = await runner("upload finished").catch(() => taken);
  const { at } = await lineOf(pair.builder(0).process, "build started", name);
  return {
    ...ends,
    sent: started.at,
    atBuilder: at,
    imported: taken.number("importMs"),
    built: taken.number("buildMs"),
    uploaded: taken.number("uploadMs"),
    taken: taken.at,
    published: published.at,
    recorded: recorded.at,
  };
}

interface Line {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly number: (field: string) => number;
}

async function lineOf(child: Child, message: string, drv: string): Promise<Line> {
  const pattern = new RegExp(`^(\\S+Z) .*${message} .*${drv.replaceAll(/[.+?]/g, "\\$&")}.*$`, "m");
  const [line, time = ""] = await child.waitForOutput(pattern, 10_000);
  return {
    at: Date.parse(time),
    number: (field) => Number(new RegExp(` ${field}=(\\d+)`).exec(line)?.[1] ?? 0),
  };
}

const floorRounds = 30;

async function commitMs(pair: Pair): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < floorRounds; round++) {
    const started = performance.now();
    await pair.tables.client.query("update jobsets set triggertime = $1", [round]);
    times.push(performance.now() - started);
  }
  return median(times);
}

async function syncMs(pair: Pair): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < floorRounds; round++) {
    const started = performance.now();
    const file = await open(join(pair.folder, `synced-${round}`), "w");
    await file.appendFile("synced");
    await file.datasync();
    await file.close();
    times.push(performance.now() - started);
  }
  return median(times);
}
