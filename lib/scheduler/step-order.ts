/**
 * Which of two runnable steps goes first.
 *
 * All orders agree on the first two keys, which are common to a whole queue group: global priority (larger first) and
 * lowest share used (smaller first). They differ in what decides within a group.
 */
import type { StepOrderName } from "./options.js";
import type { Step } from "./step.js";

/** Negative when `a` goes first, 0 when undecided. */
export type StepComparison = (a: Step, b: Step) => number;

export interface StepOrder {
  readonly name: StepOrderName;
  /** The keys after global priority and share. */
  readonly inner: StepComparison;
  /** The graph has to keep `Step.criticalPath` up to date. */
  readonly usesCriticalPath: boolean;
}

const byLocalPriority: StepComparison = (a, b) => b.profile.localPriority - a.profile.localPriority;
const byLowestBuild: StepComparison = (a, b) => a.lowestBuild - b.lowestBuild;
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

/** The whole comparison; both steps may be of different groups and queues. */
export function compareSteps(order: StepOrder, a: Step, b: Step): number {
  if (a.profile !== b.profile) {
    const global = b.profile.globalPriority - a.profile.globalPriority;
    if (global > 0 || global < 0) return global;
    const shareA = a.profile.jobsets.share;
    const shareB = b.profile.jobsets.share;
    if (shareA < shareB) return -1;
    if (shareA > shareB) return 1;
  }
  return order.inner(a, b);
}
