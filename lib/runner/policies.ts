/** Rules of an embedder's own in place of the named ones of the configuration. */
import type { QueueRunnerConfig } from "../config/types.js";
import type { Logger } from "../log.js";
import type {
  MachineOrder,
  MachineState,
  PolicyName,
  PolicyNotice,
  SchedulerOptionsInput,
  StepComparator,
} from "../scheduler/index.js";
import { schedulerSettings } from "./scheduler-settings.js";

/**
 * Rules as functions. They are called in the middle of decisions, so they must be pure, quick and synchronous, and not
 * call the runner. One that throws or gives no usable answer (`NaN`, a promise) is reported once in the log; the rule of
 * the configuration is used from then on.
 */
export interface RunnerPolicies {
  /** Score of a machine, the highest first, instead of `machineSortFn`. Asked whenever something about a machine changes. */
  readonly machineOrder?: MachineOrder | undefined;
  /**
   * Whether a machine has room for one more step, instead of `machineFreeFn`. Asked whenever something about the machine
   * changes, which each of its pings does. Disk thresholds, holds and the limit of uploads apply besides.
   */
  readonly machineFree?: ((machine: MachineState) => boolean) | undefined;
  /** Which of two runnable steps goes first, instead of `stepSortFn`, priorities and shares. */
  readonly stepOrder?: StepComparator | undefined;
}

/** The rules in force: own ones until they fail, then those of the configuration. */
export class Policies {
  readonly #own: RunnerPolicies;
  readonly #logger: Logger;
  readonly #failed = new Set<PolicyName>();

  constructor(own: RunnerPolicies, logger: Logger) {
    this.#own = own;
    this.#logger = logger;
  }

  /** Options for the scheduler. */
  settings(config: QueueRunnerConfig): SchedulerOptionsInput {
    const { machineOrder, machineFree, stepOrder } = this.#own;
    return {
      ...schedulerSettings(config),
      ...(this.#isUsed("machineOrder", machineOrder) && { machineOrder }),
      ...(this.#isUsed("machineFree", machineFree) && { machineFree: asFreeFunction(machineFree) }),
      ...(this.#isUsed("stepOrder", stepOrder) && { stepOrder }),
    };
  }

  /** The scheduler got no usable answer; give it new options soon. */
  failed({ policy, reason }: PolicyNotice): void {
    this.#failed.add(policy);
    this.#logger.error("a custom rule failed; the configured one is used from now on", {
      policy,
      reason,
    });
  }

  #isUsed<Rule>(policy: PolicyName, rule: Rule | undefined): rule is Rule {
    return rule !== undefined && !this.#failed.has(policy);
  }
}

function asFreeFunction(rule: NonNullable<RunnerPolicies["machineFree"]>) {
  return (machine: MachineState) => {
    const free: unknown = rule(machine);
    if (typeof free !== "boolean")
      throw new TypeError(`it returned ${String(free)} instead of true or false`);
    return free ? undefined : ({ kind: "policy" } as const);
  };
}
