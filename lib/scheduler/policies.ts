/**
 * Rules of an operator's own: which step first, which machine best, which machine has room. Any function is kept from
 * harming the scheduler: one that throws or gives no usable answer is reported once and not asked again.
 */
import { errorChain } from "../errors.js";
import { machineFree } from "./machines/machine-free.js";
import { machineOrder } from "./machines/machine-order.js";
import type { MachineBlock, MachineFree, MachineOrder, MachineState } from "./machines/machine-types.js";
import { namedDefaults, type SchedulerOptions } from "./options.js";
import { compareSteps, type StepOrder, stepOrder } from "./queue/step-order.js";

/** The rules that may be functions. */
export type PolicyName = "stepOrder" | "machineOrder" | "machineFree";

/** A rule failed; the default is used from now on. */
export interface PolicyNotice {
  readonly kind: "policyFailed";
  readonly policy: PolicyName;
  /** What it threw, or what was wrong with its answer. */
  readonly reason: string;
}

/** Hears of the first failure of a rule, in the middle of a change: it must neither throw nor call back. */
export type PolicyFailed = (notice: PolicyNotice) => void;

/** The order of steps: by name, or an own one. */
export function stepOrderOf({ stepOrder: rule }: SchedulerOptions, failed: PolicyFailed): StepOrder {
  if (typeof rule !== "function") return stepOrder(rule);
  const fallback = stepOrder(namedDefaults.stepOrder);
  const compare = guarded("stepOrder", rule, isNumber, failed);
  return {
    name: "own",
    whole: true,
    inner: (a, b) =>
      compare(() => compareSteps(fallback, a, b), a.ordered ?? a.describe(), b.ordered ?? b.describe()) ||
      a.sequence - b.sequence,
    weight: () => 0,
    usesCriticalPath: true,
  };
}

/** The order of machines: by name, or an own one. */
export function machineOrderOf({ machineOrder: rule }: SchedulerOptions, failed: PolicyFailed): MachineOrder {
  if (typeof rule !== "function") return machineOrder(rule);
  const fallback = machineOrder(namedDefaults.machineOrder);
  const score = guarded("machineOrder", rule, isNumber, failed);
  return (machine) => score(() => fallback(machine), machine);
}

/** Whether machines have room: by name, or by an own rule. */
export function machineFreeOf({ machineFree: rule }: SchedulerOptions, failed: PolicyFailed): MachineFree {
  if (typeof rule !== "function") return machineFree(rule);
  const fallback = machineFree(namedDefaults.machineFree);
  const ask = (machine: MachineState): MachineBlock | undefined => {
    const answer = rule(machine);
    if (typeof answer !== "boolean") return answer;
    return answer ? undefined : { kind: "policy" };
  };
  const block = guarded("machineFree", ask, isBlock, failed);
  return (machine) => block(() => fallback(machine), machine);
}

function isNumber(answer: unknown): boolean {
  return typeof answer === "number" && !Number.isNaN(answer);
}

function isBlock(answer: unknown): boolean {
  return answer === undefined || (typeof answer === "object" && answer !== null && "kind" in answer);
}

function guarded<Arguments extends readonly unknown[], Answer>(
  policy: PolicyName,
  rule: (...given: Arguments) => Answer,
  isUsable: (answer: unknown) => boolean,
  failed: PolicyFailed,
): (fallback: () => Answer, ...given: Arguments) => Answer {
  let broken = false;
  const fail = (reason: string): void => {
    broken = true;
    failed({ kind: "policyFailed", policy, reason });
  };
  return (fallback, ...given) => {
    if (broken) return fallback();
    try {
      const answer = rule(...given);
      if (isUsable(answer)) return answer;
      // An error that an asynchronous rule rejects with would end the process.
      if (answer instanceof Promise) answer.catch(() => {});
      fail(`it gave ${String(answer)}`);
    } catch (error) {
      fail(errorChain(error));
    }
    return fallback();
  };
}
