/**
 * What a step inherits from the builds that need it: priorities, limits and jobsets.
 *
 * Most steps inherit the same handful of combinations, so a combination is one shared object (a *profile*), equal
 * ones are identical, and a step keeps a count per profile of its contributors (its own builds and its dependents).
 * With the counts an increase costs one comparison and a decrease looks at the few distinct profiles, never at all
 * dependents. A profile also knows the queue groups keyed by it, which makes a change of a jobset's share cost
 * O(log n) per group instead of per step.
 */
import type { JobsetSet, JobsetShares } from "./jobset-shares.js";
import type { QueueGroup } from "./ready-queue.js";

export class Profile {
  refs = 0;
  readonly groups = new Set<QueueGroup>();

  constructor(
    readonly key: string,
    readonly globalPriority: number,
    readonly localPriority: number,
    /** Seconds; the largest of the builds'. */
    readonly maxSilent: number,
    readonly timeout: number,
    readonly jobsets: JobsetSet,
  ) {}
}

export class ProfileTable {
  /** Of a step that no build needs. */
  readonly none: Profile;
  readonly #profiles = new Map<string, Profile>();
  readonly #bySet = new Map<JobsetSet, Set<Profile>>();
  readonly #shares: JobsetShares;

  constructor(shares: JobsetShares) {
    this.#shares = shares;
    this.none = new Profile("", Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 0, shares.empty);
  }

  get size(): number {
    return this.#profiles.size;
  }

  /** Profiles in use that have this set of jobsets. */
  withSet(set: JobsetSet): Iterable<Profile> {
    return this.#bySet.get(set) ?? [];
  }

  of(global: number, local: number, maxSilent: number, timeout: number, jobsets: JobsetSet): Profile {
    const key = `${global}/${local}/${maxSilent}/${timeout}/${jobsets.key}`;
    return this.#profiles.get(key) ?? new Profile(key, global, local, maxSilent, timeout, jobsets);
  }

  join(a: Profile, b: Profile): Profile {
    if (a === b || b === this.none) return a;
    if (a === this.none) return b;
    const global = Math.max(a.globalPriority, b.globalPriority);
    const local = Math.max(a.localPriority, b.localPriority);
    const maxSilent = joinLimit(a.maxSilent, b.maxSilent);
    const timeout = joinLimit(a.timeout, b.timeout);
    const jobsets = this.#shares.union(a.jobsets, b.jobsets);
    for (const p of [a, b]) {
      if (
        p.globalPriority === global &&
        p.localPriority === local &&
        p.maxSilent === maxSilent &&
        p.timeout === timeout &&
        p.jobsets === jobsets
      ) {
        return p;
      }
    }
    return this.of(global, local, maxSilent, timeout, jobsets);
  }

  retain(profile: Profile): void {
    if (profile.refs++ > 0 || profile === this.none) return;
    this.#profiles.set(profile.key, profile);
    this.#shares.retain(profile.jobsets);
    const others = this.#bySet.get(profile.jobsets);
    if (others === undefined) this.#bySet.set(profile.jobsets, new Set([profile]));
    else others.add(profile);
  }

  release(profile: Profile): void {
    if (--profile.refs > 0 || profile === this.none) return;
    this.#profiles.delete(profile.key);
    const others = this.#bySet.get(profile.jobsets);
    others?.delete(profile);
    if (others?.size === 0) this.#bySet.delete(profile.jobsets);
    this.#shares.release(profile.jobsets);
  }
}

/** 0 means "no limit", which beats every number. */
export function joinLimit(a: number, b: number): number {
  return a === 0 || b === 0 ? 0 : Math.max(a, b);
}

/** A multiset of profiles; one distinct profile, the usual case, needs no map. */
export class Contributions {
  #first: Profile | undefined;
  #count = 0;
  #rest: Map<Profile, number> | undefined;

  add(profile: Profile): void {
    if (this.#first === undefined) {
      this.#first = profile;
      this.#count = 1;
    } else if (this.#first === profile) {
      this.#count++;
    } else {
      this.#rest ??= new Map();
      this.#rest.set(profile, (this.#rest.get(profile) ?? 0) + 1);
    }
  }

  remove(profile: Profile): void {
    if (this.#first === profile) {
      if (--this.#count > 0) return;
      this.#first = undefined;
      const next = this.#rest?.entries().next().value;
      if (next === undefined) return;
      [this.#first, this.#count] = next;
      this.#rest?.delete(next[0]);
    } else {
      const left = (this.#rest?.get(profile) ?? 0) - 1;
      if (left > 0) this.#rest?.set(profile, left);
      else this.#rest?.delete(profile);
    }
    if (this.#rest?.size === 0) this.#rest = undefined;
  }

  combined(table: ProfileTable): Profile {
    let result = this.#first ?? table.none;
    if (this.#rest !== undefined)
      for (const profile of this.#rest.keys()) result = table.join(result, profile);
    return result;
  }
}
