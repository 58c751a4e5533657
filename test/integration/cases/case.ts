// One case of `test/fixtures/cases`: what is queued, and what must be in the database and in the cache afterwards.
import { execFile } from "node:child_process";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect } from "vitest";
import type { BuildRows, Row } from "../../support/hydra-tables.js";
import type { Pair } from "../../support/pair.js";
import { until } from "../../support/until.js";

const run = promisify(execFile);
const folder = fileURLToPath(new URL("../../fixtures/cases/", import.meta.url));

interface ExpectedBuild {
  readonly buildstatus?: number;
  readonly releasename?: string;
  /** From queueing to finished at most. */
  readonly seconds?: number;
  readonly products?: readonly Readonly<Record<string, string | number>>[];
  readonly metrics?: Readonly<Record<string, readonly [number, string | null]>>;
  readonly narHash?: Readonly<Record<string, string>>;
  readonly sameBytes?: boolean;
  readonly columns?: Readonly<Record<string, string | number | null>>;
  readonly sql?: readonly string[];
  readonly gone?: boolean;
}

/** `expected.json`; its keys are explained in the README of the cases. */
export interface ExpectedCase {
  readonly prebuilt?: readonly string[];
  readonly first?: readonly string[];
  readonly afterwards?: {
    readonly sleep: number;
    readonly sql?: readonly string[];
    readonly queue?: readonly string[];
  };
  readonly within: number;
  readonly builds: Readonly<Record<string, ExpectedBuild>>;
  readonly substitutable?: readonly string[];
  readonly leftInQueue?: number;
}

/** Why the Nix on PATH cannot build an expression by itself, without us; undefined: it can. */
export async function nixLacks(pair: Pair, expression: string): Promise<string | undefined> {
  try {
    await pair.builder().store.run("nix-build", ["--no-out-link", "-E", expression]);
    return undefined;
  } catch (error) {
    return /error: ([^\n]*)/.exec(error instanceof Error ? error.message : String(error))?.[1] ?? "unknown";
  }
}

/** Queues a case on a farm and checks everything that its `expected.json` says. */
export async function runCase(pair: Pair, name: string): Promise<void> {
  const file = join(folder, name, "case.nix");
  const expected = JSON.parse(await readFile(join(folder, name, "expected.json"), "utf8")) as ExpectedCase;
  const { client } = pair.tables;
  const ids = new Map<string, number>();
  const queuedAt = new Map<string, number>();

  const bytesBefore = new Map<string, string>();
  for (const attribute of expected.prebuilt ?? []) {
    const { store } = pair.builder();
    const out = (await store.run("nix-build", ["--no-out-link", file, "-A", attribute])).trim();
    bytesBefore.set(attribute, (await store.run("nix-store", ["-q", "--hash", out])).trim());
  }

  const withIds = (sql: string): string =>
    sql.replaceAll(/\$([A-Za-z]+)/g, (text, attribute: string) => String(ids.get(attribute) ?? text));
  const queue = async (attributes: readonly string[]): Promise<void> => {
    const selected = attributes.flatMap((attribute) => ["-A", attribute]);
    const instantiated = await pair.store.run("nix-instantiate", [file, ...selected]);
    // Nix names the output behind a `!` when it is not `out`.
    const drvs = instantiated
      .trim()
      .split("\n")
      .map((line) => line.replace(/!.*$/, ""));
    const builds = drvs.map((drv, index) => ({
      drv,
      jobsetId: pair.jobsetId,
      job: `${name}.${attributes[index]}`,
    }));
    await pair.tables.addBuilds(builds, async (added) => {
      for (const [index, id] of added.entries()) {
        const attribute = attributes[index] ?? "";
        ids.set(attribute, id);
        const { columns = {}, sql = [] } = expected.builds[attribute] ?? {};
        for (const [column, value] of Object.entries(columns)) {
          await client.query(`update builds set ${column} = $1 where id = $2`, [value, id]);
        }
        for (const statement of sql) await client.query(statement.replaceAll("$build", String(id)));
      }
    });
    for (const attribute of attributes) queuedAt.set(attribute, Date.now());
  };

  await queue(expected.first ?? Object.keys(expected.builds).sort());
  if (expected.afterwards !== undefined) {
    await sleep(expected.afterwards.sleep * 1000);
    for (const sql of expected.afterwards.sql ?? []) await client.query(withIds(sql));
    if (expected.afterwards.queue !== undefined) await queue(expected.afterwards.queue);
  }

  const finishedAt = new Map<string, number>();
  const awaited = Object.keys(expected.builds).filter(
    (attribute) => expected.builds[attribute]?.gone !== true,
  );
  await until(
    `the builds of ${name}`,
    async () => {
      const { rows } = await client.query<{ id: number }>(
        "select id from builds where id = any($1) and finished = 1",
        [awaited.map((attribute) => ids.get(attribute))],
      );
      const finished = new Set(rows.map(({ id }) => id));
      for (const attribute of awaited) {
        if (finished.has(ids.get(attribute) ?? 0) && !finishedAt.has(attribute))
          finishedAt.set(attribute, Date.now());
      }
      return finishedAt.size === awaited.length;
    },
    { timeoutMs: expected.within * 1000 },
  );

  for (const [attribute, build] of Object.entries(expected.builds)) {
    const id = ids.get(attribute) ?? 0;
    const rows = await pair.tables.rows([id]);
    if (build.gone === true) {
      expect(rows.Builds, attribute).toEqual([]);
      continue;
    }
    checkRows(attribute, build, rows);
    if (build.seconds !== undefined) {
      const took = (finishedAt.get(attribute) ?? 0) - (queuedAt.get(attribute) ?? 0);
      expect(took, `milliseconds of ${attribute}`).toBeLessThan(build.seconds * 1000);
    }
    for (const [output, hash] of Object.entries(build.narHash ?? {})) {
      expect(await narHashInCache(pair, outputPath(rows, output)), attribute).toBe(hash);
    }
    if (build.sameBytes === true) {
      const path = outputPath(rows, "out");
      expect(await narHashInCache(pair, path)).toBe(bytesBefore.get(attribute));
      expect((await pair.store.run("nix-store", ["-q", "--hash", path])).trim()).toBe(
        bytesBefore.get(attribute),
      );
    }
  }
  for (const attribute of expected.substitutable ?? []) {
    const rows = await pair.tables.rows([ids.get(attribute) ?? 0]);
    await substitute(
      pair,
      rows.BuildOutputs.map(({ path }) => String(path)),
    );
  }
  if (expected.leftInQueue !== undefined) {
    const all = [...ids.values()];
    const { rows } = await client.query("select id from builds where id = any($1) and finished = 0", [all]);
    expect(rows).toHaveLength(expected.leftInQueue);
  }
}

function outputPath(rows: BuildRows, output: string): string {
  return String(rows.BuildOutputs.find(({ name }) => name === output)?.path);
}

function checkRows(attribute: string, expected: ExpectedBuild, rows: BuildRows): void {
  const [build] = rows.Builds;
  const steps = JSON.stringify(rows.BuildSteps.map(({ status, errormsg }) => ({ status, errormsg })));
  if (expected.buildstatus !== undefined) {
    expect(build?.buildstatus, `${attribute}: ${steps}`).toBe(expected.buildstatus);
  }
  if (expected.releasename !== undefined) expect(build?.releasename, attribute).toBe(expected.releasename);
  if (expected.products !== undefined) {
    const out = outputPath(rows, "out");
    const wanted = expected.products.map((product) =>
      Object.fromEntries(
        Object.entries(product).map(([key, value]) => [
          key,
          typeof value === "string" ? value.replace("$out", out) : value,
        ]),
      ),
    );
    expect(rows.BuildProducts, attribute).toHaveLength(wanted.length);
    expect(rows.BuildProducts, attribute).toMatchObject(wanted);
  }
  if (expected.metrics !== undefined) {
    const found = Object.fromEntries(rows.BuildMetrics.map((row: Row) => [row.name, [row.value, row.unit]]));
    expect(found, attribute).toEqual(expected.metrics);
  }
}

async function narHashInCache(pair: Pair, path: string): Promise<string | undefined> {
  const hashPart = path.slice("/nix/store/".length).slice(0, 32);
  const narinfo = await readFile(join(pair.cacheFolder, `${hashPart}.narinfo`), "utf8");
  return /^NarHash: (\S+)$/m.exec(narinfo)?.[1];
}

/** Nix takes the paths from the cache, trusting our key alone. */
async function substitute(pair: Pair, paths: readonly string[]): Promise<void> {
  const root = join(pair.folder, "substituted");
  const trust = ["--option", "trusted-public-keys", pair.publicKey, "--option", "require-sigs", "true"];
  const nix = (...args: readonly string[]) =>
    run("nix", ["--extra-experimental-features", "nix-command ca-derivations", ...args, ...trust, ...paths], {
      env: { ...pair.store.env, NIX_REMOTE: "" },
    });
  try {
    await nix("copy", "--from", `file://${pair.cacheFolder}`, "--to", root);
    await nix("store", "verify", "--store", root, "--recursive");
  } finally {
    await run("chmod", ["-R", "u+w", root]);
    await rm(root, { recursive: true, force: true });
  }
}
