/**
 * A Hydra database in memory, as the runner and Hydra's other programs see it.
 *
 * A transaction happens at one moment; what varies is how long the way there and back takes, and whether the answer
 * arrives. Commits may be refused, collide, be slow, or lose their answer after they were applied.
 */
import type { EarlierTries, UnfinishedBuild } from "../../../lib/database/index.js";
import { DatabaseError, givenBackMessage, type QueueChannel } from "../../../lib/database/index.js";
import type { RunnerDatabase } from "../../../lib/runner/assembly.js";
import { demand } from "../oracle.js";
import type { SeededRandom } from "../random.js";
import type { ProcessLife } from "./process-life.js";
import { execute } from "./statements.js";
import { type BuildRow, type SentNotification, type StepRow, Tables } from "./tables.js";
import type { VirtualTime } from "./virtual-time.js";

export interface DatabaseFaults {
  /** Nobody answers. */
  readonly down: boolean;
  /** Chances for one transaction. */
  readonly collide: number;
  readonly loseAnswer: number;
  readonly slow: number;
  /** Chance that a notification is not heard. */
  readonly deaf: number;
}

export const noDatabaseFaults: DatabaseFaults = { down: false, collide: 0, loseAnswer: 0, slow: 0, deaf: 0 };

export interface SimulatedJobset {
  readonly id: number;
  shares: number;
}

/** How often a build was ended by the runner, and how often that was said. */
export interface Announcements {
  ended: number;
  finishedSent: number;
}

export class SimulatedDatabase {
  readonly tables = new Tables();
  readonly jobsets: SimulatedJobset[] = [];
  readonly announcements = new Map<number, Announcements>();
  readonly #stepMessages = new Map<string, number>();
  readonly #time: VirtualTime;
  readonly #random: SeededRandom;
  #heard: ((channels: ReadonlySet<QueueChannel>) => void) | undefined;
  #resync: (() => void) | undefined;
  #missed = false;
  #open = false;
  faults: DatabaseFaults = noDatabaseFaults;
  transactions = 0;
  /** Looks at a build that the runner has just ended. */
  onEnded: (row: BuildRow) => void = () => {};
  /** A rule that a commit broke. */
  failure: unknown;

  constructor(time: VirtualTime, random: SeededRandom) {
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

  delete(row: BuildRow): void {
    this.tables.builds.delete(row.id);
    for (const [key, step] of this.tables.steps) {
      if (step.build === row.id || step.propagatedFrom === row.id) this.tables.steps.delete(key);
    }
    this.notify("builds_deleted");
  }

  addBuild(row: Pick<BuildRow, "jobset" | "drvPath" | "priority" | "globalPriority">): number {
    const id = this.announcements.size + 1;
    this.tables.builds.set(id, {
      ...row,
      id,
      finished: false,
      status: undefined,
      startTime: undefined,
      stopTime: undefined,
      cached: false,
    });
    this.announcements.set(id, { ended: 0, finishedSent: 0 });
    this.notify("builds_added");
    return id;
  }

  cancel(row: BuildRow): void {
    const now = this.seconds;
    Object.assign(row, { finished: true, status: 4, cached: false, startTime: now, stopTime: now });
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

  /** All is well again. A listener that missed something has subscribed anew, and knows it. */
  heal(): void {
    this.faults = noDatabaseFaults;
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
      unfinishedBuilds: (options) => read(() => ({ builds: this.#unfinishedBuilds(options?.ids), bad: [] })),
      unfinishedBuildDigest: () => read(() => this.unfinished().map((row) => ({ ...row }))),
      jobsets: () => read(() => this.jobsets.map(({ id, shares }) => ({ ...namesOf(id), id, shares }))),
      jobsetUsage: (ids, since) => read(() => this.#usage(ids, since)),
      failedPaths: (paths) => read(() => new Set(paths.filter((path) => this.tables.failedPaths.has(path)))),
      earlierTries: (drvPaths) => read(() => this.#earlierTries(drvPaths)),
      stepDurations: () => read(() => new Map()),
      resolveOutputChains: (chains, storeDir) =>
        read(() => chains.map(({ drvPath, outputs }) => this.#follow(drvPath, outputs, storeDir))),
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

  #read<T>(life: ProcessLife, answer: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#time.after(this.#latency(), () => {
        if (!life.alive) return;
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
      const back = (run: () => void): void =>
        this.#time.after(this.#latency(), () => {
          if (life.alive) run();
        });
      const refuse = (code: "unavailable" | "conflict" | "unknown-outcome"): void =>
        back(() => reject(new DatabaseError(code, "simulated")));
      back(() => {
        if (this.faults.down) return refuse("unavailable");
        const collides = this.#random.chance(this.faults.collide);
        const answerIsLost = this.#random.chance(this.faults.loseAnswer);
        demand(!this.#open, "the simulation itself", () => "a transaction lasts longer than one event");
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
                this.#committed();
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

  /** What is said must be what happened, transaction by transaction. */
  #committed(): void {
    const { complaint } = this.tables;
    demand(complaint === undefined, "what is over stays as it is", () => complaint ?? "");
    for (const id of this.tables.ended) this.#announced(id).ended++;
    for (const message of this.tables.sent) this.#checkMessage(message);
    for (const id of this.tables.ended) {
      const { ended, finishedSent } = this.#announced(id);
      demand(ended === finishedSent, "one build_finished per finish", () => `build ${id}`);
      const row = this.tables.builds.get(id);
      if (row !== undefined) this.onEnded(row);
    }
    if (this.tables.ended.length > 0 || this.tables.sent.length > 0) this.tables.begin();
  }

  #announced(id: number): Announcements {
    return this.announcements.get(id) ?? { ended: 0, finishedSent: 0 };
  }

  #checkMessage({ channel, payload }: SentNotification): void {
    const fields = payload.split("\t");
    switch (channel) {
      case "build_finished":
        for (const id of fields.map(Number)) {
          const said = this.#announced(id);
          said.finishedSent++;
          demand(
            said.finishedSent <= said.ended && this.tables.builds.get(id)?.finished === true,
            "one build_finished per finish",
            () => `build ${id} was announced ${said.finishedSent} times and ended ${said.ended} times`,
          );
        }
        return;
      case "step_started":
      case "step_finished": {
        const key = `${fields[0]}/${fields[1]}`;
        const count = (this.#stepMessages.get(`${channel} ${key}`) ?? 0) + 1;
        this.#stepMessages.set(`${channel} ${key}`, count);
        const row = this.tables.steps.get(key);
        const fits = channel === "step_started" ? row?.busy !== 0 : row?.busy === 0;
        demand(row !== undefined && fits && count === 1, `one ${channel} per step`, () => key);
        return;
      }
      default:
    }
  }

  #unfinishedBuilds(ids: readonly number[] | undefined): UnfinishedBuild[] {
    return this.unfinished()
      .filter((row) => ids === undefined || ids.includes(row.id))
      .map((row) => {
        const { project, name } = namesOf(row.jobset);
        return {
          id: row.id,
          jobsetId: row.jobset,
          project,
          jobset: name,
          shares: this.jobsets.find(({ id }) => id === row.jobset)?.shares ?? 100,
          job: "job",
          drvPath: row.drvPath,
          timestamp: 0,
          maxSilent: 60,
          timeout: 90,
          priority: row.priority,
          globalPriority: row.globalPriority,
        };
      });
  }

  #usage(ids: readonly number[], since: number): Map<number, { startTime: number; stopTime: number }[]> {
    const usage = new Map<number, { startTime: number; stopTime: number }[]>();
    for (const { build, startTime, stopTime } of this.tables.steps.values()) {
      const jobset = this.tables.builds.get(build)?.jobset ?? 0;
      if (!ids.includes(jobset) || startTime === undefined || stopTime === undefined || stopTime <= since) {
        continue;
      }
      usage.set(jobset, [...(usage.get(jobset) ?? []), { startTime, stopTime }]);
    }
    return usage;
  }

  #earlierTries(drvPaths: readonly string[]): Map<string, EarlierTries> {
    const found = new Map<string, EarlierTries>();
    for (const drvPath of new Set(drvPaths)) {
      const rows = [...this.tables.steps.values()].filter(
        (row) => row.drvPath === drvPath && this.#isTry(row),
      );
      if (rows.length === 0) continue;
      const orphaned = rows.filter((row) => row.stopTime === 0);
      const givenBack = rows.filter((row) => row.error === givenBackMessage);
      const tries = rows.filter((row) => !orphaned.includes(row) && !givenBack.includes(row));
      found.set(drvPath, {
        tries: tries.length,
        endedAt: latest(tries),
        givenBackAt: latest(givenBack),
        orphaned: orphaned.length > 0,
      });
    }
    return found;
  }

  #isTry(row: StepRow): boolean {
    const build = this.tables.builds.get(row.build);
    const stopTime = row.stopTime ?? -1;
    return (
      row.status === 3 &&
      row.type === 0 &&
      row.busy === 0 &&
      row.propagatedFrom === undefined &&
      build?.finished === false &&
      (stopTime === 0 || stopTime > (build.stopTime ?? 0))
    );
  }

  /** The newest path for each link of a chain. */
  #follow(drvPath: string, outputs: readonly string[], storeDir: string): string | undefined {
    let current: string | undefined = drvPath;
    for (const name of outputs)
      current = current === undefined ? undefined : this.#link(current, name, storeDir);
    return current;
  }

  #link(drvPath: string, name: string, storeDir: string): string | undefined {
    const rows = [...this.tables.steps.values()].sort((a, b) => b.build - a.build || b.stepnr - a.stepnr);
    for (const row of rows) {
      if (row.drvPath !== drvPath || (row.status !== 0 && row.status !== 13)) continue;
      const resolved = rows.find(
        (other) =>
          row.status === 13 && other.status === 0 && other.drvPath === `${storeDir}/${row.resolvedDrvPath}`,
      );
      const path = resolved?.outputs.get(name) ?? row.outputs.get(name);
      if (path !== undefined) return path;
    }
    return undefined;
  }
}

function namesOf(jobset: number): { readonly project: string; readonly name: string } {
  return { project: "project", name: `jobset${jobset}` };
}

function latest(rows: readonly StepRow[]): number | undefined {
  return rows.length === 0 ? undefined : Math.max(...rows.map((row) => row.stopTime ?? 0));
}
