// What tests of the recorder need: transactions with accidents, attempts without a scheduler, a filled database.
import { Pool } from "pg";
import type { SqlSession, TransactionRunner } from "../../lib/database/recording/index.js";
import { defaultStoreDir, parseStorePath, type StorePath } from "../../lib/nix/path/store-path.js";
import type { BuiltOutput, NixSupport } from "../../lib/rpc/types.js";
import type { Attempt } from "../../lib/runner/state/attempts.js";
import type { StepFacts } from "../../lib/runner/state/derivation-catalog.js";
import { attemptId, type BuildId, buildId, machineId, stepId } from "../../lib/scheduler/ids.js";

export type Row = Record<string, string | number | boolean | null>;

export const storeDir = defaultStoreDir;

export function basePath(full: Row[string] | undefined): StorePath {
  return parseStorePath(String(full).slice(storeDir.length + 1));
}

/** Transactions on a pool, with accidents. */
export class TestTransactions implements TransactionRunner {
  readonly pool: Pool;
  /** Every transaction is committed twice: the first time, the answer gets lost. */
  loseAnswers = false;
  /** So many transactions find no server. */
  refused = 0;
  committed = 0;
  readonly #lost = new WeakSet<object>();

  constructor(url: string) {
    this.pool = new Pool({ connectionString: url, max: 8, pipeline: true });
    this.pool.on("error", () => undefined);
  }

  async sql(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    return (await this.pool.query<Row>(text, [...values])).rows;
  }

  /** An empty queue with one jobset. */
  async reset(): Promise<void> {
    await this.sql("delete from builds");
    await this.sql("delete from projects");
    await this.sql("delete from failedpaths");
    await this.sql(
      "insert into users (username, emailaddress, password) values ('t', 't@example.org', '!') on conflict do nothing",
    );
    await this.sql("insert into projects (name, displayname, owner) values ('p', 'p', 't')");
    await this.sql(
      "insert into jobsets (name, project, nixexprinput, nixexprpath, emailoverride)" +
        " values ('j', 'p', 'src', 'x.nix', '')",
    );
  }

  /** Unfinished builds with ids from `from` and one output each. */
  async addBuilds(from: number, count = 1): Promise<BuildId[]> {
    await this.sql(
      "insert into builds (id, finished, timestamp, jobset_id, job, drvpath, system)" +
        " select i, 0, 1000, (select id from jobsets), 'job' || i, '/nix/store/' || repeat('0', 32) || '-x.drv', 'x86_64-linux'" +
        " from generate_series($1::int, $2::int) i",
      [from, from + count - 1],
    );
    await this.sql(
      "insert into buildoutputs (build, name) select i, 'out' from generate_series($1::int, $2::int) i",
      [from, from + count - 1],
    );
    return Array.from({ length: count }, (_, index) => buildId(from + index));
  }

  async transaction<T>(work: (session: SqlSession) => Promise<T>): Promise<T> {
    if (this.refused > 0) {
      this.refused--;
      throw Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
    }
    const client = await this.pool.connect();
    try {
      await client.query("BEGIN");
      const result = await work({
        query: async (text, values) => client.query(text, values === undefined ? [] : [...values]),
      });
      await client.query("COMMIT");
      this.committed++;
      if (this.loseAnswers && !this.#lost.has(work)) {
        this.#lost.add(work);
        throw new Error("Connection terminated unexpectedly");
      }
      return result;
    } catch (error) {
      await client.query("ROLLBACK").catch(() => undefined);
      throw error;
    } finally {
      client.release();
    }
  }
}

let attempts = 0;

export function attemptFor(
  build: number,
  drvPath: string,
  system: string,
  outputs: readonly (readonly [string, StorePath | undefined])[],
  options: { readonly ownBuilds?: readonly number[]; readonly startedAt?: number } = {},
): Attempt {
  const drv = basePath(drvPath);
  const id = attemptId(`attempt-${++attempts}`);
  const facts: StepFacts = {
    drv,
    name: drv.slice(33, -4),
    system,
    features: [],
    preferLocal: false,
    outputs: new Map(outputs),
    inputs: [],
    needsResolution: false,
    impure: false,
  };
  return {
    id,
    assignment: {
      attempt: id,
      step: stepId(drv),
      machine: machineId("m"),
      build: buildId(build),
      ownBuilds: (options.ownBuilds ?? []).map(buildId),
      limits: { maxSilent: 0, timeout: 0 },
      tries: 0,
      runnableSince: 0,
    },
    drv,
    machine: machineId("m"),
    hostname: "vm",
    startedAt: options.startedAt ?? 1_000_000,
    facts,
    limits: { maxLogSize: 0, maxOutputSize: 0 },
    row: undefined,
    jobsets: [],
    sent: true,
  };
}

export function simpleAttempt(build: number, name = "x", ownBuilds: readonly number[] = []): Attempt {
  const drvPath = `${storeDir}/00000000000000000000000000000001-${name}.drv`;
  const out = parseStorePath(`00000000000000000000000000000002-${name}`);
  return attemptFor(build, drvPath, "x86_64-linux", [["out", out]], { ownBuilds });
}

export function built(
  path: StorePath,
  size: number,
  closureSize = size,
  nixSupport?: NixSupport,
): BuiltOutput {
  return { path, narSize: size, closureSize, narHash: undefined, nixSupport };
}
