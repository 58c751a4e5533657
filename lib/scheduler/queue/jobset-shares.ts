/**
 * Machine time used per jobset in the last 24 hours, divided by its shares: who has had least is served first.
 *
 * A step is charged with its expected duration when it starts and corrected when it ends, so that a burst of
 * assignments is already fair. Time is counted by the *start* of a step, and split evenly among the step's jobsets.
 */
import { aFunction, checkArgument } from "../../argument-checks.js";
import { SchedulerError } from "../errors.js";
import type { JobsetId } from "../ids.js";
import { type HeapItem, IndexedHeap } from "../indexed-heap.js";
import type { JobsetUsage, NewJobset } from "../types.js";
import { bitOf, type JobsetMask, lengthOf, maskOf, noJobsets, wordAt, wordOf } from "./jobset-mask.js";

/** How long machine time counts: 24 hours. */
const usageWindowMs = 86_400_000;
/** Share used of a step without jobsets: behind everything that has one. */
const shareWithoutJobset = 1e9;

/** A jobset and the machine time it used. */
export class Jobset {
  project: string;
  name: string;
  shares: number;
  /** Milliseconds used in the window. */
  used = 0;
  /** Seconds used per share, as the queues are ordered by it; a jobset without shares always comes last. */
  shareUsed: number;
  builds = 0;
  /** The set of just this jobset. */
  readonly single: JobsetSet;
  /** Place among the jobsets of its word, in order of the share used. */
  place = 0;
  loaded: UsageEntry[] = [];

  constructor(
    readonly id: JobsetId,
    /** Its bit in masks of jobsets. */
    readonly index: number,
    from: NewJobset,
  ) {
    this.project = from.project;
    this.name = from.name;
    this.shares = from.shares;
    this.single = new JobsetSet([this]);
    this.shareUsed = this.currentShare();
  }

  currentShare(): number {
    return this.shares > 0 ? this.used / 1000 / this.shares : Number.POSITIVE_INFINITY;
  }
}

function isChanged(jobset: Jobset): boolean {
  return jobset.currentShare() !== jobset.shareUsed;
}

/** What one step is charged to each of its jobsets; stays until its start leaves the window. */
export class UsageEntry implements HeapItem {
  heapIndex = -1;

  constructor(
    readonly jobsets: readonly Jobset[],
    readonly start: number,
    /** Charged to each of them. */
    public ms: number,
  ) {}
}

/** An immutable set of jobsets, in order of their ids; steps share equal ones (see `JobsetShares.retain`). */
export class JobsetSet {
  refs = 0;
  #key: string | undefined;
  #mask: JobsetMask | undefined;

  constructor(readonly jobsets: readonly Jobset[]) {}

  get key(): string {
    this.#key ??= this.jobsets.map((jobset) => jobset.id).join(",");
    return this.#key;
  }

  get mask(): JobsetMask {
    this.#mask ??= maskOf(this.jobsets.map((jobset) => jobset.index));
    return this.#mask;
  }

  /** The least share used among its jobsets: a step goes with the one that has had least. */
  get share(): number {
    if (this.jobsets.length === 0) return shareWithoutJobset;
    let lowest = Number.POSITIVE_INFINITY;
    for (const { shareUsed } of this.jobsets) if (shareUsed < lowest) lowest = shareUsed;
    return lowest;
  }

  includes(other: JobsetSet): boolean {
    if (this === other) return true;
    const mine = this.jobsets;
    const theirs = other.jobsets;
    if (theirs.length > mine.length) return false;
    let at = 0;
    for (const jobset of theirs) {
      while (at < mine.length && mine[at] !== jobset) at++;
      if (at++ === mine.length) return false;
    }
    return true;
  }

  union(other: JobsetSet): JobsetSet {
    if (this.includes(other)) return this;
    if (other.includes(this)) return other;
    const merged = new Set([...this.jobsets, ...other.jobsets]);
    return new JobsetSet([...merged].sort((a, b) => a.id - b.id));
  }
}

/** All jobsets, their charges, and the sets of them that steps refer to. */
export class JobsetShares {
  readonly empty = new JobsetSet([]);
  readonly #jobsets = new Map<JobsetId, Jobset>();
  /** The jobsets of each word of a mask, those that have had least first. */
  readonly #words: Jobset[][] = [];
  readonly #sets = new Map<string, JobsetSet>();
  readonly #entries = new IndexedHeap<UsageEntry>((a, b) => a.start < b.start);
  /** Changes whenever the share of some jobset does. */
  version = 0;
  /** Runs `change`, which alters the shares of exactly these jobsets; queues that are ordered by them move. */
  readonly #rekey: (jobsets: readonly Jobset[], change: () => void) => void;

  constructor(rekey: (jobsets: readonly Jobset[], change: () => void) => void) {
    checkArgument("JobsetShares", "rekey", rekey, aFunction);
    this.#rekey = rekey;
  }

  /** A jobset by its id. */
  get(id: JobsetId): Jobset | undefined {
    return this.#jobsets.get(id);
  }

  /** All jobsets, in the order in which they were added. */
  all(): IterableIterator<Jobset> {
    return this.#jobsets.values();
  }

  /** Number of jobsets. */
  get size(): number {
    return this.#jobsets.size;
  }

  /** Number of sets of jobsets that steps refer to. */
  get setCount(): number {
    return this.#sets.size;
  }

  /** Number of charges inside the window. */
  get entryCount(): number {
    return this.#entries.size;
  }

  /** Adds a jobset, or changes the names and shares of a known one. */
  upsert(from: NewJobset): void {
    const known = this.#jobsets.get(from.id);
    if (known === undefined) {
      const jobset = new Jobset(from.id, this.#jobsets.size, from);
      this.#jobsets.set(from.id, jobset);
      const word = this.#wordOf(jobset);
      jobset.place = word.push(jobset) - 1;
      moveInto(word, jobset);
      return;
    }
    known.project = from.project;
    known.name = from.name;
    if (known.shares === from.shares) return;
    known.shares = from.shares;
    this.#shareChanged([known]);
  }

  /**
   * Replaces the usage that was loaded for a jobset. What is older than the window is ignored.
   *
   * @throws SchedulerError `unknown-jobset`
   */
  load(id: JobsetId, usage: readonly JobsetUsage[], now: number): void {
    const jobset = this.#jobsets.get(id);
    if (jobset === undefined) throw new SchedulerError("unknown-jobset", `jobset ${id} is not known`);
    for (const entry of jobset.loaded) this.#drop(entry);
    jobset.loaded = [];
    for (const { start, duration } of usage) {
      if (start <= now - usageWindowMs || duration <= 0) continue;
      jobset.loaded.push(this.#add([jobset], start, duration));
    }
    this.#shareChanged([jobset]);
  }

  /** Charges a starting step; give the result to `correct` when it ends. */
  charge(set: JobsetSet, start: number, expectedMs: number): UsageEntry {
    const entry = this.#add(set.jobsets, start, expectedMs / Math.max(1, set.jobsets.length));
    this.#shareChanged(set.jobsets);
    return entry;
  }

  /** Replaces the expected duration by the real one. An entry that left the window stays out. */
  correct(entry: UsageEntry, ms: number): void {
    const part = ms / Math.max(1, entry.jobsets.length);
    if (entry.heapIndex < 0 || entry.ms === part) return;
    for (const jobset of entry.jobsets) jobset.used += part - entry.ms;
    entry.ms = part;
    if (part <= 0) this.#drop(entry);
    this.#shareChanged(entry.jobsets);
  }

  /** When the next entry leaves the window. */
  get nextExpiry(): number | undefined {
    const first = this.#entries.peek();
    return first === undefined ? undefined : first.start + usageWindowMs;
  }

  /** Drops usage that has left the window by `now` (milliseconds since the epoch). */
  prune(now: number): void {
    const changed = new Set<Jobset>();
    for (;;) {
      const entry = this.#entries.peek();
      if (entry === undefined || entry.start > now - usageWindowMs) break;
      this.#drop(entry);
      for (const jobset of entry.jobsets) {
        changed.add(jobset);
        const { loaded } = jobset;
        if (loaded.length > 0 && loaded.every((e) => e.heapIndex < 0)) jobset.loaded = [];
      }
    }
    this.#shareChanged([...changed]);
  }

  /** The one object that stands for this set from now on, until it is released as often as retained. */
  retain(set: JobsetSet): JobsetSet {
    const known = this.#sets.get(set.key) ?? set;
    if (known.refs++ === 0 && known !== this.empty) this.#sets.set(known.key, known);
    return known;
  }

  /** A step no longer refers to the set. */
  release(set: JobsetSet): void {
    if (--set.refs === 0 && set !== this.empty) this.#sets.delete(set.key);
  }

  /**
   * The lowest share used among these jobsets, and those of them that have it. One look at each word of the mask, and at few
   * of the jobsets.
   */
  lowestOf(mask: JobsetMask): { readonly share: number; readonly jobsets: JobsetMask } {
    let share = Number.POSITIVE_INFINITY;
    let lowest: Jobset | undefined;
    let others: Jobset[] | undefined;
    for (let word = 0; word < lengthOf(mask); word++) {
      const bits = wordAt(mask, word);
      if (bits === 0) continue;
      for (const jobset of this.#words[word] ?? []) {
        const { shareUsed } = jobset;
        if (shareUsed > share) break;
        if ((bits & bitOf(jobset.index)) === 0) continue;
        if (lowest === undefined || shareUsed < share) {
          share = shareUsed;
          lowest = jobset;
          others = undefined;
        } else {
          others ??= [lowest];
          others.push(jobset);
        }
      }
    }
    if (lowest === undefined) return { share, jobsets: noJobsets };
    return {
      share,
      jobsets: others === undefined ? lowest.single.mask : maskOf(others.map(({ index }) => index)),
    };
  }

  #wordOf({ index }: Jobset): Jobset[] {
    const word = wordOf(index);
    this.#words[word] ??= [];
    return this.#words[word];
  }

  #add(jobsets: readonly Jobset[], start: number, ms: number): UsageEntry {
    const entry = new UsageEntry(jobsets, start, ms);
    if (jobsets.length > 0) this.#entries.push(entry);
    for (const jobset of jobsets) jobset.used += ms;
    return entry;
  }

  #drop(entry: UsageEntry): void {
    if (entry.heapIndex < 0) return;
    this.#entries.remove(entry);
    for (const jobset of entry.jobsets) jobset.used = Math.max(0, jobset.used - entry.ms);
  }

  #shareChanged(jobsets: readonly Jobset[]): void {
    // Nearly always all of them.
    const changed = jobsets.every(isChanged) ? jobsets : jobsets.filter(isChanged);
    if (changed.length === 0) return;
    this.#rekey(changed, () => {
      this.version++;
      for (const jobset of changed) {
        jobset.shareUsed = jobset.currentShare();
        moveInto(this.#wordOf(jobset), jobset);
      }
    });
  }
}

/** Brings a jobset to its place among the others of its word, which are in order. */
function moveInto(word: Jobset[], jobset: Jobset): void {
  const { shareUsed } = jobset;
  let { place } = jobset;
  for (; place > 0; place--) {
    const before = word[place - 1];
    if (before === undefined || before.shareUsed <= shareUsed) break;
    word[place] = before;
    before.place = place;
  }
  for (; place < word.length - 1; place++) {
    const after = word[place + 1];
    if (after === undefined || after.shareUsed >= shareUsed) break;
    word[place] = after;
    after.place = place;
  }
  word[place] = jobset;
  jobset.place = place;
}
