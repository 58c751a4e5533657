/** The world around the scheduler: what is true in it, and its time. The other files say what happens. */
import {
  type Assignment,
  type AttemptId,
  type BuildId,
  jobsetId,
  type MachineId,
  type MachineInfo,
  type MachineLoad,
  Scheduler,
  type StepId,
  stepId,
} from "../../../lib/scheduler/index.js";
import { SeededRandom } from "../../../lib/testing/simulated/seeded-random.js";
import type { Plan, PlannedStep } from "../plan.js";

/** A build as the world sees it. */
export interface SimBuild {
  readonly id: BuildId;
  readonly jobset: number;
  readonly step: string;
  globalPriority: number;
  readonly localPriority: number;
  outcome: "none" | "finished" | "failed" | "removed";
}

/** A machine; silent ones send no pings. */
export interface SimMachine {
  info: MachineInfo;
  alive: boolean;
  silent: boolean;
  load: MachineLoad;
}

/** An attempt that some builder works at. */
export interface SimAttempt {
  readonly assignment: Assignment;
  /** The builder says nothing more about it. */
  mute: boolean;
}

/** Something that will happen; after something quiet, not everything is checked. */
interface Later {
  readonly at: number;
  readonly order: number;
  readonly quiet: boolean;
  readonly run: () => void;
}

export const goodLoad: MachineLoad = { load1: 0, buildDirFreePercent: 90, storeFreePercent: 90 };
export const allFeatures = ["kvm", "big"];

/** What exists, and what will happen when. */
export class World {
  readonly plan: Plan;
  readonly random: SeededRandom;
  scheduler: Scheduler;
  now = 0;
  /** How many attempts there were. */
  attempts = 0;
  healed = false;
  #serial = 0;
  readonly #later: Later[] = [];
  readonly builds = new Map<BuildId, SimBuild>();
  readonly machines = new Map<MachineId, SimMachine>();
  readonly running = new Map<AttemptId, SimAttempt>();
  /** Names whose outputs exist. */
  readonly valid = new Set<string>();
  /** Names whose steps were replaced by resolved ones. */
  readonly resolved = new Set<string>();
  /** Names whose outputs are being copied, with a token for each copy. */
  readonly gated = new Map<string, number>();
  /** Names whose dynamic inputs are being looked up, and those whose dynamic inputs are known. */
  readonly dynamicPending = new Set<string>();
  readonly dynamicSettled = new Set<string>();
  /** Machine of each step's last failed try. */
  readonly avoid = new Map<StepId, string>();
  /** What a restart remembers of steps. */
  readonly carry = new Map<StepId, { tries: number; notBefore: number }>();
  readonly shares: number[] = [];
  /** Host names of machines where something other than a failing script was seen. */
  readonly faulty = new Set<string>();
  /** Since when no machine can do a step that is ready. */
  readonly unsupportedSince = new Map<StepId, number>();

  constructor(plan: Plan) {
    this.plan = plan;
    this.random = new SeededRandom(plan.seed ^ 0x5eed);
    this.scheduler = this.newScheduler();
  }

  /** What happens next without the scheduler's timers. */
  get due(): Later | undefined {
    return this.#later[0];
  }

  takeDue(): Later | undefined {
    return this.#later.shift();
  }

  /** A number that was not given before. */
  token(): number {
    return this.#serial++;
  }

  /** Lets something happen at a time; equal times in the order of calls. */
  at(at: number, run: () => void, quiet = false): void {
    const later = { at, order: this.#serial++, quiet, run };
    let low = 0;
    let high = this.#later.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#later[middle]?.at ?? 0) <= at) low = middle + 1;
      else high = middle;
    }
    this.#later.splice(low, 0, later);
  }

  /** The plan of a step, also of one that was found out later (`name!r` resolved, `name!d` dynamic). */
  planned(name: string): PlannedStep {
    const known = this.plan.steps.get(name);
    if (known !== undefined) return known;
    const base = this.plan.steps.get(name.slice(0, name.indexOf("!")));
    if (base === undefined) throw new Error(`no step ${name}`);
    return { ...base, name, inputs: [], kind: "plain" };
  }

  anyRunning(step: StepId): boolean {
    return [...this.running.values()].some(({ assignment }) => assignment.step === step);
  }

  newScheduler(): Scheduler {
    const scheduler = new Scheduler(this.plan.options);
    for (let jobset = 0; jobset < this.plan.jobsets; jobset++) this.upsertJobset(scheduler, jobset);
    return scheduler;
  }

  upsertJobset(scheduler: Scheduler, jobset: number): void {
    const shares = this.shares[jobset] ?? 100;
    scheduler.upsertJobset({ id: jobsetId(jobset), project: "p", name: `j${jobset}`, shares });
  }
}

/** The step of a derivation. */
export function idOf(name: string): StepId {
  return stepId(`${name}.drv`);
}

/** The name in a step's id. */
export function nameOf(id: StepId): string {
  return id.slice(0, -4);
}
