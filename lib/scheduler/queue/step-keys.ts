/**
 * What a step inherits from the builds that need it: priorities, limits, jobsets, and the work that waits for it.
 *
 * Every key is a maximum (or a minimum, or a union), so one more contributor costs one comparison. Only when a
 * contributor shrinks or leaves is a step compared with all of them again, and that stops as soon as the old keys are
 * reached again, usually at the first one.
 */
import type { JobsetSet } from "./jobset-shares.js";

/** Lowest build id of a step that no build needs: the largest 32-bit integer, as the status API shows it. */
export const noBuild = 2_147_483_647;

/** Priority of a step that no build needs, and a limit that is none. The ends of 32-bit integers: no object is made for them. */
const [lowestPriority, noLimit] = [-2_147_483_648, 2_147_483_647];

/** The inherited keys of one step; of a step that no build needs, every key has its lowest value. */
export class StepKeys {
  globalPriority = lowestPriority;
  localPriority = lowestPriority;
  /** Seconds as {@link limitKey} has them; the largest of the builds'. */
  maxSilent = 0;
  timeout = 0;
  lowestBuild = noBuild;
  /** Expected milliseconds of the longest chain of dependents. */
  pathAbove = 0;

  constructor(public jobsets: JobsetSet) {}

  /** Some build needs the step. */
  get wanted(): boolean {
    return this.jobsets.jobsets.length > 0;
  }

  copy(): StepKeys {
    const keys = new StepKeys(this.jobsets);
    keys.globalPriority = this.globalPriority;
    keys.localPriority = this.localPriority;
    keys.maxSilent = this.maxSilent;
    keys.timeout = this.timeout;
    keys.lowestBuild = this.lowestBuild;
    keys.pathAbove = this.pathAbove;
    return keys;
  }

  /** Joining `other`, with `path` milliseconds of work above, would change nothing. */
  covers(other: StepKeys, path: number): boolean {
    return (
      this.globalPriority >= other.globalPriority &&
      this.localPriority >= other.localPriority &&
      this.lowestBuild <= other.lowestBuild &&
      this.maxSilent >= other.maxSilent &&
      this.timeout >= other.timeout &&
      this.pathAbove >= path &&
      this.jobsets.includes(other.jobsets)
    );
  }

  equals(other: StepKeys): boolean {
    return this === other || (this.covers(other, other.pathAbove) && other.covers(this, this.pathAbove));
  }

  join(other: StepKeys, path: number): void {
    this.globalPriority = Math.max(this.globalPriority, other.globalPriority);
    this.localPriority = Math.max(this.localPriority, other.localPriority);
    this.lowestBuild = Math.min(this.lowestBuild, other.lowestBuild);
    this.maxSilent = Math.max(this.maxSilent, other.maxSilent);
    this.timeout = Math.max(this.timeout, other.timeout);
    this.pathAbove = Math.max(this.pathAbove, path);
    this.jobsets = this.jobsets.union(other.jobsets);
  }
}

/** A limit in seconds, of which 0 means "none", as a number that can be compared. */
export function limitKey(seconds: number): number {
  return seconds === 0 ? noLimit : Math.min(seconds, noLimit);
}

/** A limit as builders get it: seconds, 0 for none. */
export function limitSeconds(key: number): number {
  return key === noLimit ? 0 : key;
}
