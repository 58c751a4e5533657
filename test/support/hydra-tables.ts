// Stands in for Hydra's evaluator and front-end: writes the rows they write, and reads what the runner made of them.
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { Client } from "pg";
import { Mutex } from "../../lib/async/index.js";
import { numericTypes } from "../../lib/database/numeric-types.js";
import type { TestNixStore } from "./nix.js";
import { until } from "./until.js";

export type Row = Readonly<Record<string, string | number | boolean | null>>;

/** All rows of some builds, in the order of their keys, with the column names of the database. */
export interface BuildRows {
  readonly Builds: readonly Row[];
  readonly BuildSteps: readonly Row[];
  readonly BuildStepOutputs: readonly Row[];
  readonly BuildOutputs: readonly Row[];
  readonly BuildProducts: readonly Row[];
  readonly BuildMetrics: readonly Row[];
  readonly FailedPaths: readonly Row[];
}

export interface NewBuild {
  /** Full path, or base name, of a derivation in `store`. */
  readonly drv: string;
  readonly job?: string;
  readonly jobsetId?: number;
  readonly priority?: number;
  readonly globalPriority?: number;
  /** Seconds. */
  readonly maxSilent?: number;
  /** Seconds. */
  readonly timeout?: number;
}

export interface DerivationFacts {
  readonly drvPath: string;
  readonly system: string;
  /** Output name to path; null where only the build will tell. */
  readonly outputs: ReadonlyMap<string, string | null>;
}

/** The few facts the evaluator writes down of a derivation, read from its file in the store. */
export async function derivationFacts(store: TestNixStore, drv: string): Promise<DerivationFacts> {
  const name = basename(drv);
  const text = await readFile(join(store.realStoreDir, name), "utf8");
  const head = text.slice(0, text.indexOf("]"));
  const outputs = new Map<string, string | null>();
  for (const [, output = "", path = ""] of head.matchAll(/\("([^"]*)","([^"]*)","[^"]*","[^"]*"\)/g)) {
    outputs.set(output, path === "" ? null : path);
  }
  const system = /\],"([^"]+)","/.exec(text)?.[1] ?? "";
  return { drvPath: join(store.storeDir, name), system, outputs };
}

export class HydraTables implements AsyncDisposable {
  readonly client: Client;
  /** Tests look at rows side by side; a connection answers one question at a time. */
  readonly #looks = new Mutex();
  readonly #store: TestNixStore;

  private constructor(client: Client, store: TestNixStore) {
    this.client = client;
    this.#store = store;
  }

  /** `store` is where the derivations of the builds are. */
  static async connect(url: string, store: TestNixStore): Promise<HydraTables> {
    const client = new Client({ connectionString: url, types: numericTypes });
    // A server that is stopped under us is part of some tests.
    client.on("error", () => undefined);
    await client.connect();
    return new HydraTables(client, store);
  }

  async close(): Promise<void> {
    await this.client.end();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Adds a jobset (and its project and user when missing) and returns its id. */
  async addJobset(
    name = "j",
    options: { readonly project?: string; readonly shares?: number } = {},
  ): Promise<number> {
    const { project = "p", shares = 100 } = options;
    await this.client.query(
      "insert into users (username, emailaddress, password) values ('tester', 'tester@example.org', '!') on conflict do nothing",
    );
    await this.client.query(
      "insert into projects (name, displayname, owner) values ($1, $1, 'tester') on conflict do nothing",
      [project],
    );
    const { rows } = await this.client.query<{ id: number }>(
      `insert into jobsets (name, project, nixexprinput, nixexprpath, emailoverride, schedulingshares)
         values ($1, $2, 'src', 'default.nix', '', $3) returning id`,
      [name, project, shares],
    );
    const id = rows[0]?.id;
    if (id === undefined) throw new Error("the jobset got no id");
    return id;
  }

  /** One transaction, as the evaluator does it: builds, their outputs, and the notification with the lowest id. */
  /** `before`: changes the rows before anybody hears of them. */
  async addBuilds(
    builds: readonly NewBuild[],
    before: (ids: readonly number[]) => Promise<void> = () => Promise.resolve(),
  ): Promise<number[]> {
    const facts = await Promise.all(builds.map((build) => derivationFacts(this.#store, build.drv)));
    const ids: number[] = [];
    await this.client.query("begin");
    try {
      for (const [index, build] of builds.entries()) {
        const fact = facts[index];
        if (fact === undefined) continue;
        const job = build.job ?? `job-${index}`;
        const { rows } = await this.client.query<{ id: number }>(
          `insert into builds (finished, timestamp, jobset_id, job, nixname, drvpath, system, maxsilent, timeout,
                               iscurrent, priority, globalpriority)
             values (0, $1, $2, $3, $3, $4, $5, $6, $7, 1, $8, $9) returning id`,
          [
            Math.floor(Date.now() / 1000),
            build.jobsetId ?? 1,
            job,
            fact.drvPath,
            fact.system,
            build.maxSilent ?? 3600,
            build.timeout ?? 36_000,
            build.priority ?? 100,
            build.globalPriority ?? 0,
          ],
        );
        const id = rows[0]?.id;
        if (id === undefined) throw new Error("the build got no id");
        ids.push(id);
        for (const [name, path] of fact.outputs) {
          await this.client.query("insert into buildoutputs (build, name, path) values ($1, $2, $3)", [
            id,
            name,
            path,
          ]);
        }
      }
      await before(ids);
      await this.client.query("select pg_notify('builds_added', $1)", [String(Math.min(...ids))]);
      await this.client.query("commit");
    } catch (error) {
      await this.client.query("rollback");
      throw error;
    }
    return ids;
  }

  /** What the front-end does when somebody cancels builds. */
  async cancel(ids: readonly number[]): Promise<void> {
    await this.client.query(
      `update builds set finished = 1, buildstatus = 4, iscachedbuild = 0,
              starttime = extract(epoch from now())::int, stoptime = extract(epoch from now())::int
         where id = any($1) and finished = 0`,
      [ids],
    );
  }

  /** What the front-end does when somebody moves a build to the front of the queue. */
  async bump(id: number): Promise<void> {
    await this.client.query(
      "update builds set globalpriority = extract(epoch from now())::int where id = $1",
      [id],
    );
  }

  /** What the front-end does when somebody restarts a finished build. */
  async restart(id: number): Promise<void> {
    await this.client.query(
      `delete from failedpaths where path in (select path from buildoutputs where build = $1 and path is not null
         union select path from buildstepoutputs where build = $1 and path is not null)`,
      [id],
    );
    await this.client.query(
      "update builds set finished = 0, iscachedbuild = 0 where id = $1 and finished = 1",
      [id],
    );
  }

  async waitFinished(ids: readonly number[], timeoutMs = 180_000): Promise<void> {
    await until(
      `builds ${ids.slice(0, 10).join(", ")}${ids.length > 10 ? ", …" : ""} to finish`,
      async () => {
        const { rows } = await this.#look(() =>
          this.client.query<{ open: number }>(
            "select count(*)::int as open from builds where id = any($1) and finished = 0",
            [ids],
          ),
        );
        return rows[0]?.open === 0;
      },
      { timeoutMs },
    );
  }

  /** Waits for a step row of the build that is in the given state of `busy` or beyond. */
  async waitBusy(build: number, busy = 30, timeoutMs = 120_000): Promise<Row> {
    return until(
      `a step of build ${build} to be in state ${busy}`,
      async () => {
        const { rows } = await this.#look(() =>
          this.client.query<Row>("select * from buildsteps where build = $1 and busy >= $2", [build, busy]),
        );
        return rows[0];
      },
      // A step may be there for a moment only.
      { timeoutMs, everyMs: 25 },
    );
  }

  async busySteps(): Promise<readonly Row[]> {
    const text = "select * from buildsteps where busy <> 0 order by build, stepnr";
    return (await this.#look(() => this.client.query<Row>(text))).rows;
  }

  /** Waits until no step is busy; steps are recorded once their outputs are published. */
  async waitNoneBusy(): Promise<void> {
    await until("no step to be busy", async () => (await this.busySteps()).length === 0);
  }

  rows(ids: readonly number[]): Promise<BuildRows> {
    return this.#look(() => this.#readRows(ids));
  }

  #look<T>(work: () => Promise<T>): Promise<T> {
    return this.#looks.run(work);
  }

  async #readRows(ids: readonly number[]): Promise<BuildRows> {
    const read = async (table: string, column: string, order: string): Promise<readonly Row[]> =>
      (
        await this.client.query<Row>(`select * from ${table} where ${column} = any($1) order by ${order}`, [
          ids,
        ])
      ).rows;
    return {
      Builds: await read("builds", "id", "id"),
      BuildSteps: await read("buildsteps", "build", "build, stepnr"),
      BuildStepOutputs: await read("buildstepoutputs", "build", "build, stepnr, name"),
      BuildOutputs: await read("buildoutputs", "build", "build, name"),
      BuildProducts: await read("buildproducts", "build", "build, productnr"),
      BuildMetrics: await read("buildmetrics", "build", "build, name"),
      FailedPaths: (
        await this.client.query<Row>(
          `select path from failedpaths where path in
             (select path from buildstepoutputs where build = any($1)
                union select path from buildoutputs where build = any($1)) order by path`,
          [ids],
        )
      ).rows,
    };
  }
}
