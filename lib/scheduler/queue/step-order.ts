/**
 * Which of two runnable steps goes first.
 *
 * All orders agree on the first two keys: global priority (larger first) and lowest share used (smaller first). They
 * differ in what decides after that.
 */
import type { StepOrderName } from "../options.js";
import type { Step } from "../step.js";

/** Negative when `a` goes first, 0 when undecided. */
export type StepComparison = (a: Step, b: Step) => number;

export interface StepOrder {
  readonly name: StepOrderName;
  /** The keys after global priority and share. */
  readonly inner: StepComparison;
  /** The graph has to keep `Step.criticalPath` up to date. */
  readonly usesCriticalPath: boolean;
}

const byLocalPriority: StepComparison = (a, b) => b.keys.localPriority - a.keys.localPriority;
const byLowestBuild: StepComparison = (a, b) => a.keys.lowestBuild - b.keys.lowestBuild;
const byArrival: StepComparison = (a, b) => a.sequence - b.sequence;

/** Local priority, then the oldest build. */
export const legacy: StepOrder = {
  name: "Legacy",
  inner: (a, b) => byLocalPriority(a, b) || byLowestBuild(a, b) || byArrival(a, b),
  usesCriticalPath: false,
};

/** What most steps wait for directly, then as `legacy`. */
export const withRdeps: StepOrder = {
  name: "WithRdeps",
  inner: (a, b) => b.dependentCount - a.dependentCount || legacy.inner(a, b),
  usesCriticalPath: false,
};

/** What has the longest expected work above it, then as `legacy`. */
export const withCriticalPath: StepOrder = {
  name: "WithCriticalPath",
  inner: (a, b) => b.criticalPath - a.criticalPath || legacy.inner(a, b),
  usesCriticalPath: true,
};

const orders: Readonly<Record<StepOrderName, StepOrder>> = {
  Legacy: legacy,
  WithRdeps: withRdeps,
  WithCriticalPath: withCriticalPath,
};

export function stepOrder(name: StepOrderName): StepOrder {
  return orders[name];
}

/** Of two steps that both belong to the lane's jobset, so that its share does not tell them apart. */
export function compareInLane(order: StepOrder, a: Step, b: Step): number {
  const mine = a.keys.globalPriority;
  const other = b.keys.globalPriority;
  return mine === other ? order.inner(a, b) : mine > other ? -1 : 1;
}

/** The whole comparison; both steps may be of different jobsets and queues. */
export function compareSteps(order: StepOrder, a: Step, b: Step): number {
  if (a.keys.globalPriority === b.keys.globalPriority && a.keys.jobsets !== b.keys.jobsets) {
    const shareA = a.keys.jobsets.share;
    const shareB = b.keys.jobsets.share;
    if (shareA < shareB) return -1;
    if (shareA > shareB) return 1;
  }
  return compareInLane(order, a, b);
}
