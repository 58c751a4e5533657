/**
 * Which of two runnable steps goes first.
 *
 * All orders agree on the first two keys: global priority (larger first) and lowest share used (smaller first). They
 * differ in what decides after that.
 */
import type { StepOrderName } from "../options.js";
import type { StepKeys } from "./step-keys.js";

/** What orders look at. */
export interface RankedStep {
  readonly keys: StepKeys;
  /** Steps that wait for it directly. */
  readonly dependentCount: number;
  /** Milliseconds of expected work on the longest chain above, itself included; 0 unless an order uses it. */
  readonly criticalPath: number;
  /** Order of arrival; unique. */
  readonly sequence: number;
}

/** Negative when `a` goes first, 0 when undecided. */
export type StepComparison = (a: RankedStep, b: RankedStep) => number;

/** One way to order runnable steps. */
export interface StepOrder {
  readonly name: StepOrderName;
  /** The keys after global priority and share. */
  readonly inner: StepComparison;
  /** The first of these keys as a number, larger first. */
  readonly weight: (step: RankedStep) => number;
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
  weight: (step) => step.keys.localPriority,
  usesCriticalPath: false,
};

/** What most steps wait for directly, then as `legacy`. */
export const withRdeps: StepOrder = {
  name: "WithRdeps",
  inner: (a, b) => b.dependentCount - a.dependentCount || legacy.inner(a, b),
  weight: (step) => step.dependentCount,
  usesCriticalPath: false,
};

/** What has the longest expected work above it, then as `legacy`. */
export const withCriticalPath: StepOrder = {
  name: "WithCriticalPath",
  inner: (a, b) => b.criticalPath - a.criticalPath || legacy.inner(a, b),
  weight: (step) => step.criticalPath,
  usesCriticalPath: true,
};

const orders: Readonly<Record<StepOrderName, StepOrder>> = {
  Legacy: legacy,
  WithRdeps: withRdeps,
  WithCriticalPath: withCriticalPath,
};

/** The order of that name. */
export function stepOrder(name: StepOrderName): StepOrder {
  return orders[name];
}

/** The whole comparison; the steps may be of different jobsets and queues. */
export function compareSteps(order: StepOrder, a: RankedStep, b: RankedStep): number {
  const mine = a.keys.globalPriority;
  const other = b.keys.globalPriority;
  if (mine !== other) return mine > other ? -1 : 1;
  if (a.keys.jobsets !== b.keys.jobsets) {
    const shareA = a.keys.jobsets.share;
    const shareB = b.keys.jobsets.share;
    if (shareA < shareB) return -1;
    if (shareA > shareB) return 1;
  }
  return order.inner(a, b);
}
