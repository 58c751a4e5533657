/** The farm that end-to-end benchmarks run on: real processes, stores and database, as in the integration tests. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { EmbeddedPostgres } from "../lib/database/index.js";
import { migrations } from "../lib/database/migrations/index.js";
import { Pair, type PairOptions } from "../test/support/pair.js";

/** A new database with Hydra's tables, in a server of its own that is gone afterwards. */
export async function withHydraDatabase<T>(work: (url: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "hydra-bench-"));
  const server = await EmbeddedPostgres.start({ dataDir: folder });
  try {
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    await client.query("create database hydra_bench");
    await client.end();
    const url = server.url.replace(/\/[^/?]*($|\?)/, "/hydra_bench$1");
    const schema = new pg.Client({ connectionString: url });
    await schema.connect();
    for (const { sql } of migrations) await schema.query(sql);
    await schema.end();
    return await work(url);
  } finally {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Starts a database and a pair, hands the pair to `work`, and tidies up. */
export function withFarm<T>(
  options: Omit<PairOptions, "databaseUrl">,
  work: (pair: Pair) => Promise<T>,
): Promise<T> {
  return withHydraDatabase(async (databaseUrl) => {
    const pair = await Pair.start({ ...options, databaseUrl });
    try {
      return await work(pair);
    } finally {
      await pair.close();
    }
  });
}

/** `count` derivations that write one word; `salt` makes them new. */
export function trivialExpressions(count: number, salt: string): string[] {
  return Array.from(
    { length: count },
    (_, n) =>
      `derivation { name = "trivial-${salt}-${n}"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo ${salt} ${n} > $out" ]; }`,
  );
}

/** The middle value; of an even number of values, the mean of the two in the middle. NaN without any. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}
