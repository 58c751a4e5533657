/** The loop: choose a target and an input, run it, judge what came of it. */
import { setTimeout as sleep } from "node:timers/promises";
import { HydraError } from "../../lib/errors.js";
import { SeededRandom } from "../../lib/testing/simulated/seeded-random.js";
import { mutate } from "./mutate.js";
import type { FuzzTarget } from "./target.js";

/** What a target did wrong. */
export interface Finding {
  readonly target: string;
  /** Number of the case within the run; `seed` and it replay the case. */
  readonly caseNumber: number;
  readonly input: Uint8Array;
  readonly what: string;
}

export interface FuzzReport {
  readonly cases: number;
  readonly findings: readonly Finding[];
  /** Cases by target. */
  readonly byTarget: ReadonlyMap<string, number>;
}

/** No input of at most 64 KiB may keep a processor for so long, in milliseconds. Waiting for one does not count. */
const slowMs = 250;
/** How often a slow case is tried again, and how much longer each time it is waited before, in milliseconds. */
const slowTries = 5;
const slowPauseMs = 200;
/** A case that takes longer than this hangs, in milliseconds. */
const hangMs = 10_000;
/** A run ends early after so many findings; more of the same kind teach nothing. */
const mostFindings = 20;

export async function fuzz(options: {
  readonly targets: readonly FuzzTarget[];
  readonly cases: number;
  readonly seed: number;
}): Promise<FuzzReport> {
  const { targets, cases, seed } = options;
  const random = new SeededRandom(seed);
  const lots = targets.flatMap((target) => Array.from({ length: target.weight ?? 1 }, () => target));
  const seeds = targets.flatMap((target) => target.seeds);
  const byTarget = new Map<string, number>();
  const findings: Finding[] = [];
  let done = 0;
  while (done < cases && findings.length < mostFindings) {
    done++;
    const target = random.pick(lots);
    const others = random.chance(0.9) ? target.seeds : seeds;
    const input = mutate(random.pick(target.seeds), random, others);
    byTarget.set(target.name, (byTarget.get(target.name) ?? 0) + 1);
    const what = await judge(target, input);
    if (what !== undefined) findings.push({ target: target.name, caseNumber: done, input, what });
  }
  return { cases: done, findings, byTarget };
}

/** What is wrong with the target's answer to the input; undefined when nothing is. */
async function judge(target: FuzzTarget, input: Uint8Array): Promise<string | undefined> {
  const first = await timed(target, input);
  if (first.fault !== undefined || first.milliseconds < slowMs) return first.fault;
  // A busy machine is slow for a moment, in which tries without a pause would all fall; a slow reader is slow again.
  for (let again = 1; again <= slowTries; again++) {
    await sleep(again * slowPauseMs);
    if ((await timed(target, input)).milliseconds < slowMs) return undefined;
  }
  return `took ${first.milliseconds.toFixed(0)} ms for ${input.length} bytes`;
}

async function timed(
  target: FuzzTarget,
  input: Uint8Array,
): Promise<{ readonly milliseconds: number; readonly fault: string | undefined }> {
  const started = process.cpuUsage();
  let fault: string | undefined;
  try {
    const running = target.run(input);
    if (running !== undefined) await withinLimit(running);
  } catch (error) {
    if (!(error instanceof HydraError))
      fault = error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  const { user, system } = process.cpuUsage(started);
  return { milliseconds: (user + system) / 1000, fault };
}

async function withinLimit(running: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${hangMs} ms`)), hangMs);
  });
  try {
    await Promise.race([running, limit]);
  } finally {
    clearTimeout(timer);
  }
}
