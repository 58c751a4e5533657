// Point 5 of the acceptance list for the database: derivations that are made by builds. And one that gets lost.
import { rename, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { expect, test } from "vitest";
import {
  computeDerivationPath,
  type Derivation,
  type DerivedInput,
  defaultStoreDir,
  printDerivation,
  type StorePath,
} from "../../../lib/nix/index.js";
import { type ByteString, byteStringFromText, byteStringToBytes } from "../../../lib/nix/path/byte-string.js";
import { deferred } from "../../support/deferred.js";
import { HydraTables } from "../../support/hydra-tables.js";
import { shellDerivation } from "../../support/nix.js";
import { usePair } from "../../support/pair.js";
import { ScriptedBuilder, type ScriptedBuilderOptions } from "../../support/scripted-builder.js";
import { testDatabase } from "../../support/test-database.js";
import { until } from "../../support/until.js";
import { shapes } from "./shapes.js";

let databaseUrl = "";
const pair = usePair(async () => {
  databaseUrl = await testDatabase();
  return { databaseUrl, builders: [] };
});

const bytes = (text: string): ByteString => byteStringFromText(text);

/** A content-addressed derivation with one output. */
function derivation(name: string, inputs: ReadonlyMap<StorePath, DerivedInput> = new Map()): Derivation {
  return {
    name,
    outputs: new Map([["out", { kind: "caFloating", method: "nixArchive", algorithm: "sha256" }]]),
    inputSources: [],
    inputDerivations: inputs,
    system: bytes("x86_64-linux"),
    builder: bytes("/bin/sh"),
    args: [],
    env: new Map([[bytes("name"), bytes(name)]]),
  };
}

/** Puts the text where the runner reads it; the Nix of the tests would refuse to. */
async function write(drv: Derivation): Promise<StorePath> {
  const path = computeDerivationPath(defaultStoreDir, drv);
  await writeFile(
    join(pair().store.realStoreDir, path),
    byteStringToBytes(printDerivation(defaultStoreDir, drv)),
  );
  return path;
}

/** A wrapper around the derivation that a build of `name` makes. */
async function wrap(name: string): Promise<{ readonly producer: StorePath; readonly wrapper: StorePath }> {
  const producer = await write(derivation(name));
  const input = { outputs: [], dynamic: new Map([["out", { outputs: ["out"], dynamic: new Map() }]]) };
  return {
    producer,
    wrapper: await write(derivation(`wrapper-of-${name.replace(".drv", "")}`, new Map([[producer, input]]))),
  };
}

const printed = (drv: Derivation): string =>
  Buffer.from(byteStringToBytes(printDerivation(defaultStoreDir, drv))).toString();

function joined(make: ScriptedBuilderOptions["make"]): Promise<ScriptedBuilder> {
  return ScriptedBuilder.join({ endpoint: pair().gatewayUrl, store: pair().store, make });
}

const queue = (wrapper: StorePath): Promise<number[]> =>
  pair().tables.addBuilds([{ drv: `${defaultStoreDir}/${wrapper}`, jobsetId: pair().jobsetId }]);

async function build(wrapper: StorePath): Promise<number[]> {
  const ids = await queue(wrapper);
  await pair().tables.waitFinished(ids);
  return ids;
}

test("point 5: a producer, the derivation it made, and the wrapper before and after it is resolved", async () => {
  const { producer, wrapper } = await wrap("made.drv");
  await using builder = await joined((drv) =>
    drv === producer ? printed(derivation("made")) : `made from ${drv.slice(33)}`,
  );
  const ids = await build(wrapper);
  const { builds, steps, heard } = await shapes(pair(), ids);
  expect(builds).toEqual(["0"]);
  expect(steps[0]).toBe("0.1 made.drv build 0");
  expect(steps[3]).toBe("0.4 wrapper-of-made build 0");
  // A step may start before its input's end is committed, and be written before its input's start is.
  const [made, resolved] = steps[1] === "0.2 made build 0" ? [2, 3] : [3, 2];
  expect(new Set(steps.slice(1, 3))).toEqual(
    new Set([`0.${made} made build 0`, `0.${resolved} wrapper-of-made build 13`]),
  );
  const expected = ["build_finished 0", "build_started 0"];
  for (const step of [1, made, 4]) expected.push(`step_finished 0.${step} log`, `step_started 0.${step}`);
  expect(new Set(heard)).toEqual(new Set(expected));
  expect(heard).toHaveLength(expected.length);
  expect(heard.slice(0, 2)).toEqual(["step_started 0.1", "build_started 0"]);
  expect(heard.slice(-2)).toEqual(["step_finished 0.4 log", "build_finished 0"]);
  const rows = await pair().tables.rows(ids);
  expect(rows.BuildSteps[resolved - 1]?.resolveddrvpath).toBe(basename(String(rows.BuildSteps[3]?.drvpath)));
  expect(rows.BuildOutputs[0]?.path).toMatch(/-wrapper-of-made$/);
  expect(builder.orders).toHaveLength(3);
});

test("a derivation that was made fails, and what was made is no derivation", async () => {
  const failing = await wrap("failing.drv");
  const senseless = await wrap("senseless");
  await using builder = await joined((drv) => {
    if (drv === failing.producer) return printed(derivation("failing"));
    return drv === senseless.producer ? "some text" : undefined;
  });
  const first = await build(failing.wrapper);
  expect(await shapes(pair(), first)).toMatchObject({
    builds: ["2"],
    steps: ["0.1 failing.drv build 0", "0.2 failing build 1"],
  });
  const second = await build(senseless.wrapper);
  expect(await shapes(pair(), second)).toMatchObject({
    builds: ["3"],
    steps: ["0.1 senseless build 0", "0.2 wrapper-of-senseless build 3"],
  });
  expect(builder.orders).toHaveLength(3);
});

test("a store that is away when a derivation was made is asked again", async () => {
  const { store, tables } = pair();
  const { producer, wrapper } = await wrap("late.drv");
  const go = deferred<void>();
  await using builder = await joined(async (drv) => {
    await go.promise;
    return drv === producer ? printed(derivation("late")) : `made from ${drv.slice(33)}`;
  });
  const ids = await queue(wrapper);
  await until("the producer to run", () => builder.orders.length === 1);
  // The reading of another build stands still, so what was made has to wait for its turn.
  await tables.client.query("begin");
  await tables.client.query("lock table failedpaths in access exclusive mode");
  const [other = ""] = await pair().instantiate(
    shellDerivation("other", "echo > $out", 'requiredSystemFeatures = [ "none-has-it" ];'),
  );
  await using others = await HydraTables.connect(databaseUrl, store);
  const standing = await others.addBuilds([{ drv: other, jobsetId: pair().jobsetId }]);
  await until("the reading to stand still", async () => {
    const text = "select 1 from pg_locks where relation = 'failedpaths'::regclass and not granted";
    return (await others.client.query(text)).rows.length > 0;
  });
  go.resolve();
  const path = await until("the producer to be done", async () => {
    const { rows } = await others.client.query<{ path: string }>(
      "select path from buildstepoutputs natural join buildsteps where build = $1 and status = 0",
      [ids[0]],
    );
    return rows[0]?.path;
  });
  const file = join(store.realStoreDir, basename(path));
  await rename(file, `${file}.away`);
  await store.stopDaemon();
  await tables.client.query("commit");
  await until("the runner to be in trouble", () =>
    pair().runner.output().includes("a derivation that a build made cannot be read"),
  );
  await rename(`${file}.away`, file);
  await store.startDaemon();
  await tables.waitFinished(ids);
  expect(await shapes(pair(), ids)).toMatchObject({ builds: ["0"] });
  await tables.cancel(standing);
});

test("a derivation that is gone when its turn comes, and not in memory any more, aborts its build", async () => {
  const { tables, store } = pair();
  const lost = await write(derivation("lost"));
  const [id = 0] = await tables.addBuilds([
    { drv: `${defaultStoreDir}/${lost}`, jobsetId: pair().jobsetId, globalPriority: 1 },
  ]);
  // More derivations than the runner keeps in memory.
  const inputs = new Map<StorePath, DerivedInput>();
  for (let n = 0; n < 4100; n++) {
    inputs.set(await write(derivation(`input-${n}`)), { outputs: ["out"], dynamic: new Map() });
  }
  const crowd = await queue(await write(derivation("crowd", inputs)));
  await until("the crowd to be known", async () => (await pair().get("/status/builds")).buildCount === 2);
  await rm(join(store.realStoreDir, lost));
  await using builder = await joined((drv) => `made from ${drv.slice(33)}`);
  await tables.waitFinished([id]);
  expect(await shapes(pair(), [id])).toMatchObject({ builds: ["3"], steps: ["0.1 lost build 3"] });
  expect(builder.orders).not.toContain(lost);
  await tables.cancel(crowd);
});
