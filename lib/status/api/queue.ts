/** `GET /api/queue`: the steps of the queue in the order in which they would start, filtered, page by page. */
import { BoundedMap } from "../../async/index.js";
import type { StepRow } from "../../scheduler/index.js";
import { compareText } from "../answers/encoding.js";
import { explanationWords } from "../answers/words.js";
import { StatusError } from "../errors.js";
import type { StatusSource } from "../types.js";
import { readyIn, reasonsOf } from "./overview.js";
import { Remembered } from "./remembered.js";
import { forEachSliced, sortSliced } from "./slices.js";
import type { ApiSource, NamedBuild } from "./source.js";
import type { ApiQueue, ApiQueueRow, ApiReason } from "./types.js";

/** Which steps are asked for; undefined: all. */
export interface QueueFilter {
  readonly system: string | undefined;
  /** `project:jobset`. */
  readonly jobset: string | undefined;
  /** Part of a job's name, in any case. */
  readonly job: string | undefined;
  /** Part of a derivation's name, in any case. */
  readonly name: string | undefined;
  readonly reason: ApiReason | undefined;
}

/** What is asked for: a filter with its first part, or the place where a part ended. */
export interface QueueQuestion {
  readonly filter: QueueFilter;
  readonly limit: number;
  readonly cursor: string | undefined;
}

/** What is kept of each step while a list is open. */
interface Entry {
  readonly id: string;
  readonly name: string;
  readonly system: string;
  /** See `kindOf`. */
  readonly kind: string;
  readonly reason: ApiReason;
  readonly build: NamedBuild | undefined;
  // What orders it, smaller first; see `step-order.ts` of the scheduler.
  readonly rank: number;
  readonly globalPriority: number;
  readonly share: number;
  readonly weight: number;
  readonly localPriority: number;
  readonly lowestBuild: number;
  readonly readySince: number;
  /** 1: the next of its kind; 0: not ready. */
  position: number;
}

/** What is kept of a list while its next part may be asked for. */
interface List {
  readonly name: string;
  readonly ids: readonly string[];
  /** By index of the step, as in `Entry`. */
  readonly positions: Uint32Array;
}

const openLists = { capacity: 16, ttlMs: 120_000 };
/** Filters whose lists are shared by those that ask at the same time. */
const sharedFilters = { capacity: 8, ttlMs: 60_000 };

/** A page that is open may cost a fiftieth of the time. Only which steps are listed, and their order, is as old as that. */
const rest = { restFactor: 50, longestMs: 20_000 };

const ranks: Readonly<Record<ApiReason, number>> = {
  running: 0,
  nextInLine: 1,
  machinesBusy: 1,
  unsupported: 2,
  retryLater: 3,
  gated: 4,
  waitingForDynamicInputs: 5,
  waitingForInputs: 5,
};

function compareEntries(a: Entry, b: Entry): number {
  return (
    a.rank - b.rank ||
    a.globalPriority - b.globalPriority ||
    // Subtraction of two infinite shares is not a number, and counts as equal.
    a.share - b.share ||
    a.weight - b.weight ||
    a.localPriority - b.localPriority ||
    a.lowestBuild - b.lowestBuild ||
    a.readySince - b.readySince ||
    compareText(a.id, b.id)
  );
}

function matcher(filter: QueueFilter): (entry: Entry) => boolean {
  const job = filter.job?.toLowerCase();
  const name = filter.name?.toLowerCase();
  return (entry) => {
    const { build } = entry;
    if (filter.system !== undefined && entry.system !== filter.system) return false;
    if (filter.reason !== undefined && entry.reason !== filter.reason) return false;
    if (name !== undefined && !entry.name.toLowerCase().includes(name)) return false;
    if (job !== undefined && build?.job.toLowerCase().includes(job) !== true) return false;
    if (filter.jobset === undefined) return true;
    return build !== undefined && `${build.project}:${build.jobset}` === filter.jobset;
  };
}

/** The lists of the queue of one runner. */
export class QueueLists {
  readonly #source: StatusSource;
  readonly #api: ApiSource;
  readonly #all: Remembered<readonly Entry[]>;
  readonly #shared = new BoundedMap<string, Remembered<List>>({ ...sharedFilters, evictBy: "use" });
  readonly #open = new BoundedMap<string, List>({ ...openLists, evictBy: "use" });
  #made = 0;

  constructor(source: StatusSource, api: ApiSource) {
    this.#source = source;
    this.#api = api;
    this.#all = new Remembered(() => this.#read(), rest);
  }

  /**
   * One part of a list. Parts of one list never repeat or leave out a step because the queue changed between them; steps
   * that have left the queue are missing.
   *
   * @throws StatusError `bad-request` for a cursor that is not one, `not-found` (410) for one that is too old
   */
  async part({ filter, limit, cursor }: QueueQuestion, now: number): Promise<ApiQueue> {
    const place = cursor === undefined ? undefined : parseCursor(cursor);
    const list = place === undefined ? await this.#list(filter) : this.#open.get(place.list);
    if (list === undefined) {
      throw new StatusError("not-found", "this list is not kept any more; ask for its first part again", {
        status: 410,
      });
    }
    const start = place?.offset ?? 0;
    const end = Math.min(list.ids.length, start + limit);
    const isLast = end >= list.ids.length;
    if (!isLast) this.#open.set(list.name, list);
    return {
      now,
      rows: this.#rows(list, start, end, now),
      total: list.ids.length,
      cursor: isLast ? null : Buffer.from(`${list.name}.${end}`).toString("base64url"),
      systems: this.#api
        .systems()
        .map(({ system, reasons }) => ({ system, ready: readyIn(reasons), reasons: reasonsOf(reasons) }))
        .sort((a, b) => compareText(a.system, b.system)),
    };
  }

  /** Steps that only wait for room on a machine, by `project:jobset`. */
  async readyByJobset(): Promise<ReadonlyMap<string, number>> {
    const counts = new Map<string, number>();
    await forEachSliced(await this.#all.get(), ({ reason, build }) => {
      if (!isReady(reason) || build === undefined) return;
      const key = `${build.project}:${build.jobset}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    });
    return counts;
  }

  #list(filter: QueueFilter): Promise<List> {
    const key = JSON.stringify(filter);
    let list = this.#shared.get(key);
    if (list === undefined) {
      list = new Remembered(() => this.#filtered(filter), rest);
      this.#shared.set(key, list);
    }
    return list.get();
  }

  async #filtered(filter: QueueFilter): Promise<List> {
    const matches = matcher(filter);
    const found: Entry[] = [];
    await forEachSliced(await this.#all.get(), (entry) => {
      if (matches(entry)) found.push(entry);
    });
    return {
      name: `${++this.#made}-${Math.floor(this.#source.startedAt)}`,
      ids: found.map(({ id }) => id),
      positions: new Uint32Array(found.map(({ position }) => position)),
    };
  }

  async #read(): Promise<readonly Entry[]> {
    const api = this.#api;
    const order = api.stepOrder();
    const entries: Entry[] = [];
    await forEachSliced(api.rows(), (row) => {
      entries.push(entryOf(row, api.queuedBuild(row.lowestBuild), order));
    });
    const sorted = await sortSliced(entries, compareEntries);
    const places = new Map<string, number>();
    await forEachSliced(sorted, (entry) => {
      if (!isReady(entry.reason)) return;
      entry.position = (places.get(entry.kind) ?? 0) + 1;
      places.set(entry.kind, entry.position);
    });
    return sorted;
  }

  #rows(list: List, start: number, end: number, now: number): ApiQueueRow[] {
    const rows: ApiQueueRow[] = [];
    for (let index = start; index < end; index++) {
      const row = this.#api.row(list.ids[index] ?? "");
      if (row === undefined) continue;
      const build = this.#api.queuedBuild(row.lowestBuild);
      // Finding a place costs as much as the steps before it.
      const place = list.positions[index] ?? 0;
      const why = this.#api.why(row.id, place === 0 ? undefined : place);
      rows.push({
        drv: row.id,
        name: row.name,
        system: row.system,
        reason: row.reason,
        why: explanationWords(why, now),
        build: build?.id ?? null,
        jobset: build === undefined ? null : `${build.project}:${build.jobset}`,
        job: build?.job ?? null,
        tries: row.tries,
        since: row.runnable ? row.runnableSince : null,
        dependents: row.dependents,
      });
    }
    return rows;
  }
}

/** Steps of one kind wait for the same machines. One that has failed avoids a machine, so it may wait for others. */
function kindOf(row: StepRow): string {
  return `${row.system} ${row.features.join(",")} ${row.preferLocal} ${row.tries > 0 ? row.id : ""}`;
}

function isReady(reason: ApiReason): boolean {
  return reason === "machinesBusy" || reason === "nextInLine";
}

function entryOf(
  row: StepRow,
  build: NamedBuild | undefined,
  order: ReturnType<ApiSource["stepOrder"]>,
): Entry {
  const weight = order === "WithRdeps" ? row.dependents : order === "WithCriticalPath" ? row.criticalPath : 0;
  return {
    id: row.id,
    name: row.name,
    system: row.system,
    kind: isReady(row.reason) ? kindOf(row) : "",
    reason: row.reason,
    build,
    rank: ranks[row.reason],
    globalPriority: -row.globalPriority,
    share: row.lowestShareUsed,
    weight: -weight,
    localPriority: -row.localPriority,
    lowestBuild: row.lowestBuild,
    readySince: row.readySince,
    position: 0,
  };
}

function parseCursor(text: string): { readonly list: string; readonly offset: number } {
  const match = /^(\d+-\d+)\.(\d+)$/.exec(Buffer.from(text, "base64url").toString());
  if (match === null) throw new StatusError("bad-request", "cursor: not one that this API gave");
  return { list: match[1] ?? "", offset: Number(match[2]) };
}
