/**
 * What a new runner has to respect of attempts that were made before it: tries that are used up, delays that are not
 * over, and steps that builders may still have in work.
 *
 * Builders keep building while there is no runner. For a moment after the start the steps that were running belong to
 * them: whoever comes back with one goes on with it, only then it is handed out anew.
 */
import { type EarlierTries, givenBackMessage } from "../../database/queries/earlier-tries.js";
import { type RetryOptions, RetryPolicy } from "../../scheduler/index.js";

export interface EarlierAttemptsOptions {
  readonly retry: () => RetryOptions;
  readonly random: () => number;
  /** Milliseconds that builders get to come back. Default 10 s. */
  readonly graceMs?: number;
}

/** Part of a `NewStep`. */
export interface StepHistory {
  readonly tries?: number;
  /** Milliseconds since the epoch. */
  readonly notBefore?: number;
}

/** The message of rows that are closed because the runner stops. */
export const stoppedMessage = givenBackMessage;
/** After so long no builder is waited for any more; they give up on their own as well. Seconds. */
const longestAbsence = 900;

export class EarlierAttempts {
  readonly #options: EarlierAttemptsOptions;
  /** Full paths of derivations that were running when a runner died. */
  #orphans: ReadonlySet<string> = new Set();
  #activeSince = 0;

  constructor(options: EarlierAttemptsOptions) {
    this.#options = options;
  }

  /** We took over at `now`; `orphans` are the full paths of the derivations whose attempts had no owner any more. */
  takeOver(orphans: Iterable<string>, now: number): void {
    this.#orphans = new Set(orphans);
    this.#activeSince = now;
  }

  /** What a new step starts with; `now` in milliseconds. */
  of(drvPath: string, earlier: EarlierTries | undefined, now: number): StepHistory {
    const waits: number[] = [];
    const tries = earlier?.tries ?? 0;
    if (earlier?.endedAt !== undefined && tries > 0) {
      const { retry, random } = this.#options;
      const policy = new RetryPolicy(retry());
      // The last try is granted in any case, after the longest delay there is.
      const delay = policy.delayAfter(Math.min(tries, policy.options.maxTries - 1), random);
      if (delay !== undefined) waits.push(earlier.endedAt * 1000 + delay);
    }
    const graceUntil = this.#activeSince + (this.#options.graceMs ?? 10_000);
    const givenBack = earlier?.givenBackAt ?? 0;
    // Also when a runner between the dead one and us has closed the row and died before the builder came back.
    const orphaned = this.#orphans.has(drvPath) || earlier?.orphaned === true;
    if (orphaned || givenBack > this.#activeSince / 1000 - longestAbsence) {
      waits.push(graceUntil);
    }
    const notBefore = Math.max(0, ...waits);
    return { ...(tries > 0 ? { tries } : {}), ...(notBefore > now ? { notBefore } : {}) };
  }
}
