// A scheduler with short names for what tests do all the time.
import {
  type Assignment,
  attemptId,
  buildId,
  jobsetId,
  type MachineFault,
  type MachineInfo,
  type MachineLoad,
  machineId,
  type NewBuild,
  type NewStep,
  Scheduler,
  type SchedulerNotice,
  type SchedulerOptionsInput,
  stepId,
} from "../../lib/scheduler/index.js";

export const noJitter = (): number => 0;

export const load: MachineLoad = { load1: 0, buildDirFreePercent: 80, storeFreePercent: 80 };

export class World {
  now = 1_000_000;
  readonly scheduler: Scheduler;
  readonly notices: SchedulerNotice[] = [];
  #attempts = 0;

  constructor(options: SchedulerOptionsInput = {}) {
    this.scheduler = new Scheduler(
      { ...options, deadlines: { heartbeatMs: 0, ...options.deadlines } },
      (notice) => this.notices.push(notice),
    );
    this.jobset(1);
  }

  jobset(id: number, shares = 100): void {
    this.scheduler.upsertJobset({ id: jobsetId(id), project: "p", name: `j${id}`, shares });
  }

  step(name: string, inputs: readonly string[] = [], more: Partial<NewStep> = {}): void {
    this.scheduler.addSteps(
      [
        {
          id: stepId(name),
          name,
          system: "x86_64-linux",
          features: [],
          inputs: inputs.map((input) => ({ id: stepId(input) })),
          ...more,
        },
      ],
      this.now,
    );
  }

  build(id: number, step: string, more: Partial<NewBuild> = {}): void {
    this.scheduler.addBuild(
      {
        id: buildId(id),
        jobset: jobsetId(1),
        step: stepId(step),
        globalPriority: 0,
        localPriority: 100,
        timestamp: 0,
        ...more,
      },
      this.now,
    );
  }

  machine(name: string, more: Partial<MachineInfo> = {}): void {
    this.scheduler.addMachine(
      {
        id: machineId(name),
        hostname: name,
        systems: ["x86_64-linux"],
        supportedFeatures: [],
        mandatoryFeatures: [],
        cpuCount: 4,
        bogomips: 1000,
        speedFactor: 1,
        maxJobs: 1,
        buildDirAvailThreshold: 0,
        storeAvailThreshold: 0,
        load1Threshold: 8,
        cpuPsiThreshold: 75,
        memPsiThreshold: 80,
        ...more,
      },
      this.now,
      noJitter,
    );
  }

  assign(limit?: number): Assignment[] {
    return this.scheduler.assign(this.now, () => attemptId(`a${this.#attempts++}`), limit);
  }

  /** The one step that is handed out now. */
  next(): Assignment {
    const [assignment] = this.assign(1);
    if (assignment === undefined) throw new Error("nothing was handed out");
    return assignment;
  }

  /** Steps in the order in which machines with one slot get them, each finished at once. */
  order(): string[] {
    const names: string[] = [];
    for (let [assignment] = this.assign(1); assignment !== undefined; [assignment] = this.assign(1)) {
      names.push(assignment.step);
      this.succeed(assignment);
    }
    return names;
  }

  succeed({ attempt }: Assignment) {
    return this.scheduler.complete(attempt, { kind: "succeeded" }, this.now, noJitter);
  }

  /** A try that says its machine is broken. */
  trouble({ attempt }: Assignment, fault: MachineFault = "sandbox") {
    return this.scheduler.complete(
      attempt,
      { kind: "retryable", reason: "trouble", exhausted: 3, evidence: { says: "broken", fault } },
      this.now,
      noJitter,
    );
  }

  /** A script that failed, which Nix calls transient. */
  deadDownload({ attempt }: Assignment) {
    return this.scheduler.complete(
      attempt,
      { kind: "retryable", reason: "download failed", exhausted: 1, evidence: { says: "works" } },
      this.now,
      noJitter,
    );
  }

  advance(ms: number) {
    this.now += ms;
    return this.scheduler.advance(this.now, noJitter);
  }

  why(step: string) {
    return this.scheduler.why(stepId(step), this.now);
  }
}
