/**
 * A world around the scheduler: builds, builders that work, fail, stall and vanish, all in virtual time.
 *
 * `simulate` runs one plan to the end and throws an `InvariantError` as soon as the scheduler breaks a rule.
 */
import {
  type Assignment,
  type AttemptId,
  type AttemptOutcome,
  attemptId,
  type BuildId,
  buildId,
  type Completion,
  type Effect,
  jobsetId,
  type MachineId,
  type MachineInfo,
  type MachineLoad,
  machineId,
  type NewStep,
  Scheduler,
  type StepId,
  stepId,
} from "../../lib/scheduler/index.js";
import { SeededRandom } from "../../lib/testing/simulated/seeded-random.js";
import { canTake, checkEnd, checkState, compare, demand, type Expected } from "./oracle.js";
import { makeOptions, type Plan, type PlannedEvent, type PlannedStep } from "./plan.js";

interface SimBuild {
  readonly id: BuildId;
  readonly jobset: number;
  readonly step: string;
  globalPriority: number;
  readonly localPriority: number;
  outcome: "none" | "finished" | "failed" | "removed";
}

interface SimMachine {
  info: MachineInfo;
  alive: boolean;
  silent: boolean;
  load: MachineLoad;
}

interface SimAttempt {
  readonly assignment: Assignment;
  /** The builder says nothing more about it. */
  mute: boolean;
}

interface Later {
  readonly at: number;
  readonly order: number;
  readonly quiet: boolean;
  readonly run: () => void;
}

export interface SimulationResult {
  readonly events: number;
  readonly builds: number;
  readonly attempts: number;
}

const goodLoad: MachineLoad = { load1: 0, buildDirFreePercent: 90, storeFreePercent: 90 };
const allFeatures = ["kvm", "big"];
const maxEvents = 60_000;

export function simulate(plan: Plan): SimulationResult {
  return new World(plan).run();
}

class World {
  readonly #plan: Plan;
  readonly #random: SeededRandom;
  #scheduler: Scheduler;
  #now = 0;
  #events = 0;
  #serial = 0;
  #attempts = 0;
  #healed = false;
  readonly #later: Later[] = [];
  readonly #builds = new Map<BuildId, SimBuild>();
  readonly #machines = new Map<MachineId, SimMachine>();
  readonly #running = new Map<AttemptId, SimAttempt>();
  /** Names whose outputs exist. */
  readonly #valid = new Set<string>();
  readonly #resolved = new Set<string>();
  readonly #gated = new Map<string, number>();
  readonly #dynamicPending = new Set<string>();
  readonly #dynamicSettled = new Set<string>();
  readonly #avoid = new Map<StepId, string>();
  readonly #carry = new Map<StepId, { tries: number; notBefore: number }>();
  readonly #shares: number[] = [];
  /** Host names of machines where something other than a failing script was seen. */
  readonly #faulty = new Set<string>();
  /** Since when no machine can do a step that is ready. */
  readonly #unsupportedSince = new Map<StepId, number>();

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#random = new SeededRandom(plan.seed ^ 0x5eed);
    this.#scheduler = this.#newScheduler();
  }

  run(): SimulationResult {
    for (const event of this.#plan.events) this.#at(event.at, () => this.#happen(event));
    this.#at(this.#plan.healAt, () => this.#heal());
    while (!this.#drained()) this.#next();
    this.#shutDown();
    return { events: this.#events, builds: this.#builds.size, attempts: this.#attempts };
  }

  #drained(): boolean {
    return this.#healed && this.#running.size === 0 && this.#scheduler.builds().length === 0;
  }

  #next(): void {
    demand(++this.#events < maxEvents, "once faults stop, everything drains", () => this.#describe());
    const due = this.#later[0];
    const timer = this.#scheduler.nextEventAt() ?? Number.POSITIVE_INFINITY;
    demand(due !== undefined || Number.isFinite(timer), "once faults stop, everything drains", () =>
      this.#describe(),
    );
    let quiet = false;
    if (due !== undefined && due.at <= timer) {
      this.#later.shift();
      this.#now = Math.max(this.#now, due.at);
      quiet = due.quiet;
      due.run();
    } else {
      this.#now = Math.max(this.#now, timer);
      this.#apply(this.#scheduler.advance(this.#now, this.#random.next));
    }
    const assigned = this.#assign();
    if (!quiet || assigned > 0 || this.#events % 8 === 0)
      checkState(this.#scheduler, this.#now, this.#expected());
  }

  #at(at: number, run: () => void, quiet = false): void {
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

  // ── what happens ──

  #happen({ kind, seed }: PlannedEvent): void {
    const random = new SeededRandom(seed);
    const scheduler = this.#scheduler;
    const build = (): SimBuild | undefined => {
      const open = [...this.#builds.values()].filter(({ outcome }) => outcome === "none");
      return open.length === 0 ? undefined : random.pick(open);
    };
    switch (kind) {
      case "build":
        this.#addBuild(random);
        return;
      case "cancel": {
        const chosen = build();
        if (chosen === undefined) return;
        chosen.outcome = "removed";
        this.#apply(scheduler.removeBuild(chosen.id, this.#now));
        return;
      }
      case "bump": {
        const chosen = build();
        if (chosen === undefined) return;
        chosen.globalPriority = random.int(-2, 5);
        scheduler.setBuildPriority(chosen.id, chosen, this.#now);
        return;
      }
      case "join":
        this.#join(random);
        return;
      case "shares": {
        const jobset = random.int(0, this.#plan.jobsets - 1);
        this.#shares[jobset] = random.int(0, 3) * 100;
        this.#upsertJobset(scheduler, jobset);
        return;
      }
      case "settings":
        scheduler.setOptions(makeOptions(random), this.#now);
        return;
      case "restart":
        this.#restart(random);
        return;
      case "finish":
      case "failStep":
        this.#fromOutside(kind, random);
        return;
      case "stall": {
        const running = [...this.#running.values()];
        if (running.length > 0) random.pick(running).mute = true;
        return;
      }
      case "kill":
      case "silence":
      case "drain":
      case "resume":
      case "disconnect":
      case "load":
      case "rejoin": {
        const alive = [...this.#machines.values()].filter((machine) => machine.alive);
        if (alive.length > 0) this.#happenTo(random.pick(alive), kind, random);
      }
    }
  }

  #happenTo(
    machine: SimMachine,
    kind: "kill" | "silence" | "drain" | "resume" | "disconnect" | "load" | "rejoin",
    random: SeededRandom,
  ): void {
    const scheduler = this.#scheduler;
    const { id } = machine.info;
    switch (kind) {
      case "kill":
        machine.alive = false;
        this.#apply(scheduler.removeMachine(id, this.#now, this.#random.next));
        return;
      case "silence":
        machine.silent = true;
        return;
      case "drain":
        scheduler.drainMachine(id, this.#now);
        return;
      case "resume":
        scheduler.resumeMachine(id, this.#now);
        return;
      case "disconnect":
        machine.silent = true;
        scheduler.disconnectMachine(id, this.#now + 20_000, this.#now);
        return;
      case "load":
        machine.load = { ...goodLoad, load1: random.int(0, 20), storeFreePercent: random.int(0, 90) };
        scheduler.updateMachine(id, machine.load, this.#now);
        return;
      case "rejoin": {
        machine.silent = false;
        const kept = [...this.#running.values()].filter(
          ({ assignment }) => assignment.machine === id && random.chance(0.5),
        );
        const ids = kept.map(({ assignment }) => assignment.attempt);
        // It may have got another configuration meanwhile.
        if (random.chance(0.4)) machine.info = { ...machine.info, ...this.#abilities(random) };
        this.#apply(scheduler.addMachine(machine.info, this.#now, this.#random.next, ids));
        this.#startPings(machine);
        return;
      }
    }
  }

  #addBuild(random: SeededRandom): void {
    const build: SimBuild = {
      id: buildId(this.#builds.size + 1),
      jobset: random.int(0, this.#plan.jobsets - 1),
      step: random.pick([...this.#plan.steps.keys()]),
      globalPriority: random.chance(0.2) ? random.int(1, 3) : 0,
      localPriority: random.pick([50, 100, 100, 100]),
      outcome: "none",
    };
    this.#builds.set(build.id, build);
    this.#ingest(build, random);
  }

  /** What the queue monitor does: walk the unfinished closure, add steps, add the build. */
  #ingest(build: SimBuild, random: SeededRandom): void {
    if (this.#valid.has(build.step)) {
      build.outcome = "finished";
      return;
    }
    const batch = new Map<string, NewStep>();
    const stack = [build.step];
    for (let name = stack.pop(); name !== undefined; name = stack.pop()) {
      const id = idOf(name);
      if (this.#valid.has(name) || batch.has(name) || this.#scheduler.hasStep(id)) continue;
      const step = this.#planned(name);
      this.#avoid.delete(id);
      this.#resolved.delete(name);
      this.#dynamicPending.delete(name);
      this.#dynamicSettled.delete(name);
      this.#gated.delete(name);
      const [first] = step.inputs;
      const inputs = step.inputs.map((input) => ({
        name: input,
        chain: step.kind === "dynamic" && input === first ? ["out"] : undefined,
      }));
      if (step.kind === "dynamic" && first !== undefined && this.#valid.has(first)) {
        this.#dynamicSettled.add(name);
        inputs.push({ name: `${name}!d`, chain: undefined });
      }
      const open = inputs.filter((input) => !this.#valid.has(input.name));
      if (step.kind === "gated") this.#startUpload(name);
      const carried = this.#carry.get(id);
      batch.set(name, {
        id,
        name,
        system: step.system,
        features: step.features,
        preferLocal: step.preferLocal,
        expectedDurationMs: step.expectedMs,
        gate: step.kind === "gated" ? "upload" : undefined,
        inputs: open.map((input) => ({ id: idOf(input.name), chain: input.chain })),
        ...(carried === undefined ? {} : carried),
      });
      for (const input of open) stack.push(input.name);
    }
    const order = [...batch.values()];
    if (random.chance(0.5)) order.reverse();
    this.#scheduler.addSteps(order, this.#now);
    this.#scheduler.addBuild(
      {
        id: build.id,
        jobset: jobsetId(build.jobset),
        step: idOf(build.step),
        globalPriority: build.globalPriority,
        localPriority: build.localPriority,
        timestamp: 0,
        timeout: random.chance(0.3) ? random.int(30, 300) : undefined,
      },
      this.#now,
    );
  }

  #planned(name: string): PlannedStep {
    const known = this.#plan.steps.get(name);
    if (known !== undefined) return known;
    const base = this.#plan.steps.get(name.slice(0, name.indexOf("!")));
    if (base === undefined) throw new Error(`no step ${name}`);
    return { ...base, name, inputs: [], kind: "plain" };
  }

  #startUpload(name: string): void {
    const token = this.#serial++;
    this.#gated.set(name, token);
    this.#at(this.#now + this.#random.int(0, 60_000), () => {
      const id = idOf(name);
      if (this.#gated.get(name) !== token || !this.#scheduler.hasStep(id)) return;
      this.#gated.delete(name);
      if (this.#random.chance(0.5)) return this.#scheduler.ungate(id, this.#now);
      this.#record(this.#scheduler.finishStep(id, this.#now));
    });
  }

  #join(random: SeededRandom): void {
    const id = machineId(`m${this.#machines.size}`);
    this.#addMachine({
      ...machineDefaults,
      ...this.#abilities(random),
      id,
      hostname: `host${random.int(0, 3)}`,
      cpuCount: random.int(1, 16),
      speedFactor: random.int(1, 3),
      maxJobs: random.int(1, 4),
      storeAvailThreshold: random.pick([0, 0, 10]),
    });
  }

  #abilities(random: SeededRandom): Pick<MachineInfo, "systems" | "supportedFeatures" | "mandatoryFeatures"> {
    const supported = allFeatures.filter(() => random.chance(0.5));
    const mandatory = random.chance(0.2) ? [random.pick([...allFeatures, "local"])] : [];
    const all = ["x86_64-linux", "aarch64-linux"];
    return {
      systems: random.chance(0.3) ? all : [random.pick(all)],
      supportedFeatures: [...new Set([...supported, ...mandatory])],
      mandatoryFeatures: mandatory,
    };
  }

  #addMachine(info: MachineInfo): void {
    const machine: SimMachine = { info, alive: true, silent: false, load: goodLoad };
    this.#machines.set(info.id, machine);
    this.#apply(this.#scheduler.addMachine(info, this.#now, this.#random.next));
    this.#startPings(machine);
  }

  #startPings(machine: SimMachine): void {
    const ping = (): void => {
      if (!machine.alive || machine.silent) return;
      this.#scheduler.updateMachine(machine.info.id, machine.load, this.#now);
      this.#at(this.#now + 10_000, ping, true);
    };
    this.#at(this.#now + 1000, ping, true);
  }

  /** Something else found the outputs, or a reason to give up. */
  #fromOutside(kind: "finish" | "failStep", random: SeededRandom): void {
    const idle = this.#scheduler.steps().filter((step) => step.state !== "running");
    if (idle.length === 0) return;
    const { id } = random.pick(idle);
    if (kind === "finish") this.#record(this.#scheduler.finishStep(id, this.#now));
    else this.#record(this.#scheduler.failStep(id, 8, this.#now));
  }

  /** The runner dies and comes back: everything but the world itself is forgotten. */
  #restart(random: SeededRandom): void {
    for (const step of this.#scheduler.steps()) {
      this.#carry.set(step.id, { tries: step.tries, notBefore: step.notBefore });
    }
    const options = this.#scheduler.options;
    this.#scheduler = this.#newScheduler();
    this.#scheduler.setOptions(options, this.#now);
    this.#unsupportedSince.clear();
    this.#avoid.clear();
    this.#resolved.clear();
    this.#gated.clear();
    for (const build of this.#builds.values()) if (build.outcome === "none") this.#ingest(build, random);
    this.#carry.clear();
    for (const machine of this.#machines.values()) {
      if (!machine.alive) continue;
      if (machine.silent) machine.alive = false;
      else this.#apply(this.#scheduler.addMachine(machine.info, this.#now, this.#random.next));
    }
    for (const [id, { assignment }] of this.#running) {
      const kept =
        random.chance(0.5) &&
        this.#scheduler.adoptAttempt({ ...assignment, startedAt: this.#now }, this.#now) !== undefined;
      if (!kept) this.#running.delete(id);
    }
  }

  #heal(): void {
    this.#healed = true;
    for (const machine of this.#machines.values()) {
      if (!machine.alive) continue;
      machine.load = goodLoad;
      this.#scheduler.resumeMachine(machine.info.id, this.#now);
    }
    this.#addMachine({
      ...machineDefaults,
      id: machineId("rescue"),
      hostname: "rescue",
      systems: ["x86_64-linux", "aarch64-linux"],
      supportedFeatures: allFeatures,
    });
  }

  // ── builders ──

  #assign(): number {
    for (let count = 0; ; count++) {
      const before = new Map(this.#scheduler.steps().map((step) => [step.id, step]));
      const machines = this.#scheduler.machines(this.#now);
      const id = attemptId(`a${this.#attempts}`);
      const [assignment] = this.#scheduler.assign(this.#now, () => id, 1);
      if (assignment === undefined) return count;
      this.#attempts++;
      const chosen = before.get(assignment.step);
      const expected = this.#expected();
      if (chosen === undefined) throw new Error("an unknown step was handed out");
      const taker = machines.find(({ info }) => info.id === assignment.machine);
      demand(
        chosen.state === "ready" && taker !== undefined && canTake(chosen, taker, machines, expected),
        "a step goes to a machine that can take it",
        () => `${chosen.id} → ${assignment.machine}`,
      );
      const order = this.#scheduler.options.stepOrder;
      if (typeof order === "function") throw new Error("only named orders are simulated");
      for (const other of before.values()) {
        demand(
          other.state !== "ready" ||
            compare(order, chosen, other) <= 0 ||
            !machines.some((machine) => canTake(other, machine, machines, expected)),
          "priorities are respected",
          () => `${chosen.id} went before ${other.id}`,
        );
      }
      demand(!this.#anyRunning(assignment.step), "I4: no step runs twice at once", () => assignment.step);
      this.#demandInputs(nameOf(assignment.step));
      this.#runAttempt(assignment);
    }
  }

  #demandInputs(name: string): void {
    const base = name.split("!")[0] ?? name;
    const inputs = name.endsWith("!d") ? [] : [...this.#planned(base).inputs];
    if (this.#dynamicSettled.has(name)) inputs.push(`${name}!d`);
    const missing = inputs.filter((input) => !this.#valid.has(input));
    demand(
      missing.length === 0 && !this.#gated.has(name) && !this.#dynamicPending.has(name),
      "I8: a step starts only when its inputs are there",
      () => `${name} lacks ${missing.join()}`,
    );
  }

  #anyRunning(step: StepId): boolean {
    return [...this.#running.values()].some(({ assignment }) => assignment.step === step);
  }

  #runAttempt(assignment: Assignment): void {
    const attempt: SimAttempt = { assignment, mute: false };
    const id = assignment.attempt;
    this.#running.set(id, attempt);
    const random = this.#random;
    const name = nameOf(assignment.step);
    const step = this.#planned(name);
    const report = (delay: number, run: () => void): void =>
      this.#at(this.#now + delay, () => {
        if (!attempt.mute) run();
      });
    if (step.kind === "resolves") {
      report(random.int(0, 100), () => this.#resolve(id, name));
      return;
    }
    this.#scheduler.sent(id, this.#now);
    report(random.int(0, 5000), () => this.#scheduler.acknowledged(id, this.#now));
    if (!this.#healed && random.chance(step.flaky)) {
      const outcome = random.pick<AttemptOutcome>([
        { ...trouble, reason: "import failed", evidence: { says: "broken", fault: "inputs" } },
        { ...trouble, reason: "no answer", evidence: { says: "broken", fault: "daemon" } },
        { ...trouble, reason: "no contact to the cache", evidence: { says: "nothing" } },
        { kind: "postponed", reason: "postponed", delayMs: 3000 },
        { kind: "cancelled" },
      ]);
      report(random.int(0, step.durationMs), () => this.#complete(id, outcome, assignment.machine));
      return;
    }
    const endings = {
      fails: { kind: "failed", status: 1 },
      timesOut: { kind: "failed", status: 7 },
      dead: deadDownload,
      succeeds: undefined,
    } as const;
    const ending = endings[step.result];
    report(step.durationMs, () => {
      if (ending !== undefined) {
        this.#complete(id, ending, assignment.machine);
        return;
      }
      this.#scheduler.buildEnded(id, this.#now);
      report(random.int(0, 20_000), () => this.#complete(id, { kind: "succeeded" }, assignment.machine));
    });
  }

  #resolve(id: AttemptId, name: string): void {
    if (this.#scheduler.attempt(id)?.phase !== "sent") return;
    const { system, features, preferLocal, expectedMs } = this.#planned(name);
    const target = `${name}!r`;
    const done = this.#scheduler.replaceStep(
      idOf(name),
      {
        id: idOf(target),
        name: target,
        system,
        features,
        preferLocal,
        expectedDurationMs: expectedMs,
        inputs: [],
      },
      this.#now,
    );
    demand(done.ended?.attempt === id, "a resolved step frees its slot", () => name);
    this.#running.delete(id);
    this.#resolved.add(name);
    this.#avoid.delete(idOf(target));
  }

  #complete(id: AttemptId, outcome: AttemptOutcome, from: MachineId): void {
    const live = this.#running.has(id);
    if (outcome.kind === "retryable" && outcome.evidence.says === "broken") this.#foundFaulty(from);
    const completion = this.#scheduler.complete(id, outcome, this.#now, this.#random.next, from);
    demand(
      live === (completion.kind !== "stale"),
      "I4: stale reports are refused",
      () => `${id} ${completion.kind}`,
    );
    checkEnd(this.#scheduler, this.#now, outcome, completion);
    if (outcome.kind === "retryable" && completion.kind === "retry") this.#remember(completion);
    this.#record(completion);
  }

  #foundFaulty(id: MachineId): void {
    const machine = this.#machines.get(id);
    if (machine !== undefined) this.#faulty.add(machine.info.hostname);
  }

  #remember({ step, ended }: Extract<Completion, { kind: "retry" }>): void {
    if (this.#scheduler.hasMachine(ended.machine)) this.#avoid.set(step, ended.machine);
    else this.#avoid.delete(step);
  }

  #record(completion: Completion): void {
    if (completion.kind === "stale") return;
    if (completion.ended !== undefined) this.#running.delete(completion.ended.attempt);
    if (completion.kind === "finished") {
      const name = nameOf(completion.step);
      this.#valid.add(name);
      if (name.endsWith("!r")) this.#valid.add(name.slice(0, -2));
      for (const id of completion.ownBuilds) this.#settleBuild(id, "finished");
      for (const { dependent, producer } of completion.dynamic) this.#continueDynamic(dependent, producer);
      this.#apply(completion.effects);
    } else if (completion.kind === "failed") {
      for (const { id } of completion.builds) this.#settleBuild(id, "failed");
      this.#apply(completion.effects);
    }
  }

  #settleBuild(id: BuildId, outcome: "finished" | "failed"): void {
    const build = this.#builds.get(id);
    demand(
      build?.outcome === "none",
      "a build has exactly one outcome",
      () => `${id}: ${build?.outcome} → ${outcome}`,
    );
    if (build !== undefined) build.outcome = outcome;
  }

  #continueDynamic(dependent: StepId, producer: StepId): void {
    const name = nameOf(dependent);
    this.#dynamicPending.add(name);
    this.#at(this.#now + this.#random.int(0, 2000), () => {
      if (!this.#dynamicPending.has(name) || !this.#scheduler.hasStep(dependent)) return;
      this.#dynamicPending.delete(name);
      this.#dynamicSettled.add(name);
      const found = `${name}!d`;
      const { system, features, expectedMs } = this.#planned(name);
      const fresh = {
        id: idOf(found),
        name: found,
        system,
        features,
        expectedDurationMs: expectedMs,
        inputs: [],
      };
      if (!this.#valid.has(found)) {
        if (!this.#scheduler.hasStep(fresh.id)) this.#avoid.delete(fresh.id);
        this.#scheduler.addSteps([fresh], this.#now);
      }
      const inputs = this.#valid.has(found) ? [] : [{ id: fresh.id }];
      this.#scheduler.addInputs(dependent, inputs, this.#now, producer);
    });
  }

  #apply(effects: readonly Effect[]): void {
    for (const effect of effects) {
      switch (effect.kind) {
        case "abortAttempt": {
          const attempt = this.#running.get(effect.attempt);
          demand(attempt !== undefined, "only live attempts are aborted", () => effect.attempt);
          if (attempt !== undefined && this.#random.chance(0.7)) attempt.mute = true;
          if (this.#random.chance(0.9)) {
            this.#at(this.#now + this.#random.int(0, 5000), () =>
              this.#complete(effect.attempt, { kind: "cancelled" }, effect.machine),
            );
          }
          break;
        }
        case "attemptEnded":
          this.#foundFaulty(effect.machine);
          demand(
            effect.completion.kind !== "failed" || effect.completion.status === 3,
            "I9: infrastructure trouble never fails a step as a build failure",
            () => JSON.stringify(effect),
          );
          if (effect.completion.kind === "retry") this.#remember(effect.completion);
          this.#record(effect.completion);
          break;
        case "machineLost": {
          const machine = this.#machines.get(effect.machine);
          if (machine !== undefined) machine.alive = false;
          for (const [step, avoided] of this.#avoid) if (avoided === effect.machine) this.#avoid.delete(step);
          break;
        }
        case "stepUnsupported": {
          const { step } = effect.completion;
          const since = this.#unsupportedSince.get(step) ?? Infinity;
          demand(
            this.#now - since >= this.#scheduler.options.maxUnsupportedMs,
            "a step that no machine can do fails in time",
            () => `${step} failed too early`,
          );
          this.#record(effect.completion);
        }
      }
    }
  }

  // ── what must be true ──

  #expected(): Expected {
    const inputs = new Map<StepId, Set<StepId>>();
    const stack = [...this.#builds.values()].filter((b) => b.outcome === "none").map((b) => b.step);
    const seen = new Set<string>();
    for (let name = stack.pop(); name !== undefined; name = stack.pop()) {
      if (seen.has(name) || this.#valid.has(name)) continue;
      seen.add(name);
      if (this.#resolved.has(name)) {
        inputs.set(idOf(`${name}!r`), new Set());
        continue;
      }
      const open = this.#planned(name).inputs.filter((input) => !this.#valid.has(input));
      if (this.#dynamicSettled.has(name) && !this.#valid.has(`${name}!d`)) open.push(`${name}!d`);
      stack.push(...open);
      inputs.set(
        idOf(name),
        new Set(open.map((input) => idOf(this.#resolved.has(input) ? `${input}!r` : input))),
      );
    }
    for (const name of this.#resolved) {
      const id = idOf(`${name}!r`);
      if (!inputs.has(id) && !this.#anyRunning(id)) this.#resolved.delete(name);
    }
    return {
      inputs,
      avoid: this.#avoid,
      unsupportedSince: this.#unsupportedSince,
      faulty: this.#faulty,
      held: (id) => this.#gated.has(nameOf(id)) || this.#dynamicPending.has(nameOf(id)),
      expectedMs: (id) => this.#planned(nameOf(id)).expectedMs ?? this.#scheduler.options.defaultDurationMs,
    };
  }

  #shutDown(): void {
    for (const { id, outcome } of this.#builds.values()) {
      demand(outcome !== "none", "a build has exactly one outcome", () => `${id} has none`);
    }
    for (const [id, machine] of this.#machines) {
      if (machine.alive) this.#apply(this.#scheduler.removeMachine(id, this.#now, this.#random.next));
    }
    this.#now += 90_000_000;
    this.#apply(this.#scheduler.advance(this.#now, this.#random.next));
    this.#apply(this.#scheduler.advance(this.#now, this.#random.next));
    const { jobsets: _, ...sizes } = this.#scheduler.sizes();
    const left = Object.entries(sizes).filter(([, size]) => size !== 0);
    demand(left.length === 0, "memory returns to zero", () => JSON.stringify(left));
  }

  #newScheduler(): Scheduler {
    const scheduler = new Scheduler(this.#plan.options);
    for (let jobset = 0; jobset < this.#plan.jobsets; jobset++) this.#upsertJobset(scheduler, jobset);
    return scheduler;
  }

  #upsertJobset(scheduler: Scheduler, jobset: number): void {
    const shares = this.#shares[jobset] ?? 100;
    scheduler.upsertJobset({ id: jobsetId(jobset), project: "p", name: `j${jobset}`, shares });
  }

  #describe(): string {
    const why = this.#scheduler.steps().map((step) => this.#scheduler.why(step.id, this.#now));
    return JSON.stringify({ now: this.#now, running: this.#running.size, why });
  }
}

const trouble = { kind: "retryable", exhausted: 3 } as const;

const deadDownload: AttemptOutcome = {
  kind: "retryable",
  reason: "download failed",
  exhausted: 1,
  evidence: { says: "works" },
};

const machineDefaults = {
  systems: ["x86_64-linux"],
  supportedFeatures: [] as string[],
  mandatoryFeatures: [] as string[],
  cpuCount: 4,
  bogomips: 4000,
  speedFactor: 1,
  maxJobs: 3,
  buildDirAvailThreshold: 0,
  storeAvailThreshold: 0,
  load1Threshold: 8,
  cpuPsiThreshold: 75,
  memPsiThreshold: 80,
};

function idOf(name: string): StepId {
  return stepId(`${name}.drv`);
}

function nameOf(id: StepId): string {
  return id.slice(0, -4);
}
