import { buildStatus, DatabaseError, type QueueChannel } from "../../database/index.js";
import type { RunnerDatabase } from "../../runner/context.js";
import type { ProcessLife } from "./process-life.js";
import {
  type BuildLimits,
  earlierTries,
  followOutputs,
  jobsetUsage,
  type SimulatedJobset,
  unfinishedBuilds,
} from "./queries.js";
import type { SeededRandom } from "./seeded-random.js";
import { execute } from "./statements.js";
import { type BuildRow, Tables } from "./tables.js";
import type { WorldTime } from "./virtual-time.js";

/** What is wrong with the database. */
export interface DatabaseFaults {
  /** Every question is refused. */
  readonly down: boolean;
  /** Chances for one transaction. */
  readonly collide: number;
  readonly loseAnswer: number;
  readonly slow: number;
  /** Chance that a notification is not heard. */
  readonly deaf: number;
  /** Connections stay open, and nothing is answered before it thaws. */
  readonly frozen: boolean;
}

/** All is well. */
export const noDatabaseFaults: DatabaseFaults = {
  down: false,
  collide: 0,
  loseAnswer: 0,
  slow: 0,
  deaf: 0,
  frozen: false,
};

/** Hydra's database in memory, with the other programs that use it. */
export class SimulatedDatabase {
  readonly tables = new Tables();
  readonly jobsets: SimulatedJobset[] = [];
  readonly #onCommit: () => void;
  #builds = 0;
  readonly #time: WorldTime;
  readonly #random: SeededRandom;
  #heard: ((channels: ReadonlySet<QueueChannel>) => void) | undefined;
  #resync: (() => void) | undefined;
  #missed = false;
  #open = false;
  /** What waits for the database to thaw. */
  readonly #frozen: (() => void)[] = [];
  faults: DatabaseFaults = noDatabaseFaults;
  /** What Hydra records about every build. */
  limits: BuildLimits = { maxSilent: 60, timeout: 90 };
  transactions = 0;
  /** A rule that a commit broke. */
  failure: unknown;

  constructor(time: WorldTime, random: SeededRandom, onCommit: () => void = () => {}) {
    this.#onCommit = onCommit;
    this.#time = time;
    this.#random = random;
  }

  // ── Hydra's other programs ──

  get seconds(): number {
    return Math.floor(this.#time.now() / 1000);
  }

  unfinished(): BuildRow[] {
    return [...this.tables.builds.values()].filter((row) => !row.finished);
  }

  hasBusyRow(): boolean {
    return [...this.tables.steps.values()].some(({ busy }) => busy !== 0);
  }

  delete(row: BuildRow): void {
    this.tables.builds.delete(row.id);
    for (const [key, step] of this.tables.steps) {
      if (step.build === row.id || step.propagatedFrom === row.id) this.tables.steps.delete(key);
    }
    this.notify("builds_deleted");
  }

  addBuild(
    row: Pick<BuildRow, "jobset" | "drvPath" | "priority" | "globalPriority"> &
      Partial<Pick<BuildRow, "job" | "timestamp">>,
  ): number {
    const id = ++this.#builds;
    this.tables.builds.set(id, {
      job: "job",
      timestamp: 0,
      ...row,
      id,
      finished: false,
      status: undefined,
      startTime: undefined,
      stopTime: undefined,
      cached: false,
    });
    this.notify("builds_added");
    return id;
  }

  cancel(row: BuildRow): void {
    const now = this.seconds;
    Object.assign(row, {
      finished: true,
      status: buildStatus.cancelled,
      cached: false,
      startTime: now,
      stopTime: now,
    });
    this.notify("builds_cancelled");
  }

  /** As the front-end does: old figures stay, what is remembered of failures goes. */
  restart(row: BuildRow): void {
    Object.assign(row, { finished: false, cached: false });
    for (const step of this.tables.steps.values()) {
      if (step.build !== row.id) continue;
      for (const path of step.outputs.values()) if (path !== undefined) this.tables.failedPaths.delete(path);
    }
    this.notify("builds_restarted");
  }

  notify(channel: QueueChannel): void {
    if (this.#random.chance(this.faults.deaf)) {
      this.#missed = true;
      return;
    }
    this.#time.after(this.#random.int(0, 20), () => this.#heard?.(new Set([channel])));
  }

  /** All is well again. A listener that missed something has subscribed again, and knows it. */
  heal(): void {
    this.faults = noDatabaseFaults;
    for (const run of this.#frozen.splice(0)) this.#time.after(this.#random.int(0, 50), run);
    if (this.#missed) this.#resync?.();
    this.#missed = false;
  }

  // ── the runner's side ──

  /** Both end with the life of the process that they were made for. */
  connect(life: ProcessLife): {
    readonly database: RunnerDatabase;
    readonly listener: {
      readonly onChange: (callback: (channels: ReadonlySet<QueueChannel>) => void) => void;
      readonly onResync: (callback: () => void) => void;
    };
  } {
    const read = <T>(answer: () => T): Promise<T> => this.#read(life, answer);
    const database: RunnerDatabase = {
      transaction: (work) => this.#transaction(life, work),
      unfinishedBuilds: (options) =>
        read(() => ({
          builds: unfinishedBuilds(this.tables, this.jobsets, this.limits, options?.ids),
          bad: [],
        })),
      unfinishedBuildDigest: () => read(() => this.unfinished().map((row) => ({ ...row }))),
      jobsets: () => read(() => this.jobsets.map((jobset) => ({ ...jobset }))),
      jobsetUsage: (ids, since) => read(() => jobsetUsage(this.tables, ids, since)),
      failedPaths: (paths) => read(() => new Set(paths.filter((path) => this.tables.failedPaths.has(path)))),
      earlierTries: (drvPaths) => read(() => earlierTries(this.tables, drvPaths)),
      stepDurations: () => read(() => new Map()),
      resolveOutputChains: (chains, storeDir) =>
        read(() =>
          chains.map(({ drvPath, outputs }) => followOutputs(this.tables, drvPath, outputs, storeDir)),
        ),
      earlierBuildOfOutputs: () => read(() => undefined),
    };
    this.#heard = undefined;
    this.#resync = undefined;
    return {
      database,
      listener: {
        onChange: (callback) => {
          this.#heard = (channels) => {
            if (life.alive) callback(channels);
          };
        },
        onResync: (callback) => {
          this.#resync = () => {
            if (life.alive) callback();
          };
          this.#time.after(1, () => this.#resync?.());
        },
      },
    };
  }

  #latency(): number {
    if (this.#random.chance(this.faults.slow)) return this.#random.int(100, 20_000);
    return this.#random.int(0, 3);
  }

  /** After the time that the database takes, which is not before it thaws. */
  #later(life: ProcessLife, run: () => void): void {
    this.#time.after(this.#latency(), () => {
      if (!life.alive) return;
      if (this.faults.frozen) this.#frozen.push(() => life.alive && run());
      else run();
    });
  }

  #read<T>(life: ProcessLife, answer: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#later(life, () => {
        if (this.faults.down) reject(new DatabaseError("unavailable", "the simulated database is down"));
        else resolve(answer());
      });
    });
  }

  #transaction<T>(
    life: ProcessLife,
    work: Parameters<RunnerDatabase["transaction"]>[0] & ((session: never) => Promise<T>),
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const back = (run: () => void): void => this.#later(life, run);
      const refuse = (code: "unavailable" | "conflict" | "unknown-outcome"): void =>
        back(() => reject(new DatabaseError(code, "simulated")));
      back(() => {
        if (this.faults.down) return refuse("unavailable");
        const collides = this.#random.chance(this.faults.collide);
        const answerIsLost = this.#random.chance(this.faults.loseAnswer);
        if (this.#open) throw new Error("a transaction lasts longer than one event");
        this.#open = true;
        this.transactions++;
        this.tables.begin();
        const session = {
          query: async (text: string, values: readonly unknown[] = []) => execute(this.tables, text, values),
        };
        const done = (end: () => void): void => {
          this.#open = false;
          end();
        };
        (work as (s: typeof session) => Promise<T>)(session)
          .then(
            (value) =>
              done(() => {
                if (collides) {
                  this.tables.rollback();
                  return refuse("conflict");
                }
                this.#onCommit();
                if (answerIsLost) return refuse("unknown-outcome");
                back(() => resolve(value));
              }),
            (error: unknown) =>
              done(() => {
                this.tables.rollback();
                back(() => reject(error instanceof Error ? error : new Error(String(error))));
              }),
          )
          .catch((error: unknown) => {
            this.failure ??= error;
          });
      });
    });
  }
}
