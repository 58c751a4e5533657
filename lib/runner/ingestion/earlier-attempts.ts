/**
 * What a new runner has to respect of attempts made before it: tries that are used up, delays that are not over, and
 * steps that builders may still be building.
 *
 * Builders keep building while the runner is down. For a short time after the start the steps that were running are
 * reserved for them: a builder that comes back continues its step; only after that time is the step assigned again.
 */
import { type EarlierTries, givenBackMessage } from "../../database/queries/earlier-tries.js";
import { type RetryOptions, RetryPolicy } from "../../scheduler/index.js";

/** How long retries and absent builders are respected. */
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
/** Seconds after which no builder is expected back; they stop on their own by then. */
const longestAbsence = 900;

/** What is left of the attempts of earlier runners. */
export class EarlierAttempts {
  readonly #options: EarlierAttemptsOptions;
  /** Full paths of derivations that were running when a runner died. */
  #orphans: ReadonlySet<string> = new Set();
  #activeSince = 0;

  constructor(options: EarlierAttemptsOptions) {
    this.#options = options;
  }

  /** The takeover happened at `now`; `orphans` are the full paths of the derivations whose attempts had no owner any more. */
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
    // Also when another runner closed the row in between and died before the builder came back.
    const orphaned = this.#orphans.has(drvPath) || earlier?.orphaned === true;
    if (orphaned || givenBack > this.#activeSince / 1000 - longestAbsence) {
      waits.push(graceUntil);
    }
    const notBefore = Math.max(0, ...waits);
    return { ...(tries > 0 ? { tries } : {}), ...(notBefore > now ? { notBefore } : {}) };
  }
}
