/**
 * Trying again while something is out of order, with growing pauses.
 *
 * What may pass (an outage) is waited for as long as patience lasts, counted from the first failure; anything else gets
 * a few tries.
 */
import { performance } from "node:perf_hooks";
import { type BackoffOptions, backoffDelay, pause } from "./backoff.js";

export interface Patience {
  /** Milliseconds from the first failure on. */
  readonly totalMs: number;
  readonly delays: BackoffOptions;
}

/** Much less than the two hours a runner waits for an upload. */
export const usualPatience: Patience = {
  totalMs: 20 * 60_000,
  delays: { first: 1000, longest: 30_000, random: Math.random },
};

/** `passing`: wait for it. `doubtful`: four tries in all. `final`: trying again cannot help. */
export type Prospect = "passing" | "doubtful" | "final";

export interface PatientOptions {
  readonly patience: Patience;
  readonly judge: (error: unknown) => Prospect;
  readonly signal: AbortSignal;
}

const fewTries = 4;

/** @throws what `work` threw last, or the signal's reason */
export async function patiently<T>(work: () => Promise<T>, options: PatientOptions): Promise<T> {
  const { patience, judge, signal } = options;
  let doubtful = 0;
  let firstFailure: number | undefined;
  for (let failures = 1; ; failures++) {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      firstFailure ??= performance.now();
      const prospect = judge(error);
      if (prospect === "doubtful") doubtful++;
      const patient = failures < fewTries || performance.now() - firstFailure < patience.totalMs;
      if (prospect === "final" || doubtful >= fewTries || !patient) throw error;
      await pause(backoffDelay(failures, patience.delays), signal);
      signal.throwIfAborted();
    }
  }
}
