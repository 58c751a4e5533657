/**
 * Which of two runnable steps goes first.
 *
 * All orders agree on the first two keys: global priority (larger first) and lowest share used (smaller first). They
 * differ in what decides after that.
 */
import { checkArgument, oneOf } from "../../argument-checks.js";
import type { JobsetId, StepId } from "../ids.js";
import type { StepOrderName } from "../options.js";
import type { StepKeys } from "./step-keys.js";

/**
 * A step as a custom order sees it, as it was when it entered its queue; it enters again when any of this
 * changes.
 */
export interface OrderedStep {
  /** Base name of the derivation's store path. */
  readonly drv: StepId;
  /** Of the derivation, without hash and `.drv`. */
  readonly name: string;
  readonly system: string;
  /** Required features, sorted. */
  readonly features: readonly string[];
  /** The highest among the builds that need it; the larger the sooner in the orders that have names. */
  readonly globalPriority: number;
  readonly localPriority: number;
  /** Lowest id of the builds that need it. */
  readonly lowestBuild: number;
  /** Jobsets of the builds that need it, by id. */
  readonly jobsets: readonly OrderedJobset[];
  /** How long its like took before, in milliseconds. */
  readonly expectedMs: number;
  /** Steps that wait for it directly. */
  readonly dependents: number;
  /** Milliseconds of expected work on the longest chain above, itself included. */
  readonly criticalPathMs: number;
  /** Failed tries. */
  readonly tries: number;
  /** Larger for steps that became known later; unique. */
  readonly sequence: number;
}

/** A jobset as a custom order sees it. */
export interface OrderedJobset {
  readonly id: JobsetId;
  readonly project: string;
  readonly name: string;
  /** `jobsets.schedulingshares` */
  readonly shares: number;
}

/**
 * A custom order: negative when `a` goes first, positive when `b` does, 0 when the older one does. It decides
 * alone, instead of priorities and shares. It must be pure and consistent (what goes before what goes before `c` goes
 * before `c`), and is asked O(log n) times for each step that enters a queue of n.
 */
export type StepComparator = (a: OrderedStep, b: OrderedStep) => number;

/** What orders look at. */
export interface RankedStep {
  /** What a custom order sees of it; kept while it is in a queue with such an order. */
  ordered: OrderedStep | undefined;
  describe(): OrderedStep;
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
  readonly name: StepOrderName | "own";
  /** `inner` decides alone; global priority and share do not count. */
  readonly whole: boolean;
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
  whole: false,
  inner: (a, b) => byLocalPriority(a, b) || byLowestBuild(a, b) || byArrival(a, b),
  weight: (step) => step.keys.localPriority,
  usesCriticalPath: false,
};

/** What most steps wait for directly, then as `legacy`. */
export const withRdeps: StepOrder = {
  name: "WithRdeps",
  whole: false,
  inner: (a, b) => b.dependentCount - a.dependentCount || legacy.inner(a, b),
  weight: (step) => step.dependentCount,
  usesCriticalPath: false,
};

/** What has the longest expected work above it, then as `legacy`. */
export const withCriticalPath: StepOrder = {
  name: "WithCriticalPath",
  whole: false,
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
  checkArgument("stepOrder", "name", name, oneOf(Object.keys(orders)));
  return orders[name];
}

/** The whole comparison; the steps may be of different jobsets and queues. */
export function compareSteps(order: StepOrder, a: RankedStep, b: RankedStep): number {
  if (order.whole) return order.inner(a, b);
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
