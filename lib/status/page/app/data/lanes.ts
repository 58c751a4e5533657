/** Attempts as bars in lanes: one lane for each slot of a machine. Pure. */
import type { ApiAttempt, ApiTimeline } from "../../../api/types.js";

/** A bar. */
export interface Bar {
  readonly attempt: ApiAttempt;
  /** From 0, within its machine. */
  readonly lane: number;
}

/** A machine, its lanes, and how much of them was in use in the window. */
export interface MachineLanes {
  readonly name: string;
  readonly lanes: number;
  readonly bars: readonly Bar[];
  /** 0 to 1. */
  readonly used: number;
  /** The longest time without any attempt, within the window; milliseconds. */
  readonly longestGap: number;
}

function overlap(attempt: ApiAttempt, from: number, to: number, now: number): readonly [number, number] {
  return [Math.max(from, attempt.startedAt), Math.min(to, attempt.stoppedAt ?? now)];
}

function lanesOf(
  name: string,
  slots: number,
  attempts: readonly ApiAttempt[],
  timeline: ApiTimeline,
): MachineLanes {
  const { from, now } = timeline;
  const to = Math.min(timeline.to, now);
  const ends: number[] = [];
  const bars: Bar[] = [];
  let busy = 0;
  let covered = from;
  let longestGap = 0;
  for (const attempt of [...attempts].sort((a, b) => a.startedAt - b.startedAt)) {
    const free = ends.findIndex((end) => end <= attempt.startedAt);
    const lane = free < 0 ? ends.length : free;
    ends[lane] = attempt.stoppedAt ?? Number.POSITIVE_INFINITY;
    bars.push({ attempt, lane });
    const [begin, end] = overlap(attempt, from, to, now);
    busy += Math.max(0, end - begin);
    longestGap = Math.max(longestGap, begin - covered);
    covered = Math.max(covered, end);
  }
  longestGap = Math.max(longestGap, to - covered);
  const capacity = Math.max(1, to - from) * Math.max(1, slots);
  return { name, lanes: Math.max(1, ends.length), bars, used: Math.min(1, busy / capacity), longestGap };
}

/** Machines in the order of the answer; those that only attempts name come last. */
export function timelineLanes(timeline: ApiTimeline): readonly MachineLanes[] {
  const byMachine = new Map<string, ApiAttempt[]>(timeline.machines.map(({ name }) => [name, []]));
  for (const attempt of timeline.attempts) {
    const list = byMachine.get(attempt.machine);
    if (list === undefined) byMachine.set(attempt.machine, [attempt]);
    else list.push(attempt);
  }
  const slots = new Map(timeline.machines.map((machine) => [machine.name, machine.slots]));
  return [...byMachine].map(([name, attempts]) => lanesOf(name, slots.get(name) ?? 1, attempts, timeline));
}
