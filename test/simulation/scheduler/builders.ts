/** Builders that get steps and report what became of them, with a check of each choice of the scheduler. */
import {
  type Assignment,
  type AttemptId,
  type AttemptOutcome,
  attemptId,
} from "../../../lib/scheduler/index.js";
import { canTake, compare, demand } from "../oracle.js";
import { expectedState } from "./expected.js";
import { complete } from "./outcomes.js";
import { idOf, nameOf, type SimAttempt, type World } from "./world.js";

/** Lets the scheduler assign steps one by one, and checks each choice; returns how many there were. */
export function assign(world: World): number {
  for (let count = 0; ; count++) {
    const before = new Map(world.scheduler.steps().map((step) => [step.id, step]));
    const machines = world.scheduler.machines(world.now);
    const id = attemptId(`a${world.attempts}`);
    const [assignment] = world.scheduler.assign(world.now, () => id, 1);
    if (assignment === undefined) return count;
    world.attempts++;
    const chosen = before.get(assignment.step);
    const expected = expectedState(world);
    if (chosen === undefined) throw new Error("an unknown step was assigned");
    const taker = machines.find(({ info }) => info.id === assignment.machine);
    demand(
      chosen.state === "ready" && taker !== undefined && canTake(chosen, taker, machines, expected),
      "a step goes to a machine that can take it",
      () => `${chosen.id} → ${assignment.machine}`,
    );
    const order = world.scheduler.options.stepOrder;
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
    demand(!world.anyRunning(assignment.step), "I4: no step runs twice at once", () => assignment.step);
    demandInputs(world, nameOf(assignment.step));
    runAttempt(world, assignment);
  }
}

function demandInputs(world: World, name: string): void {
  const base = name.split("!")[0] ?? name;
  const inputs = name.endsWith("!d") ? [] : [...world.planned(base).inputs];
  if (world.dynamicSettled.has(name)) inputs.push(`${name}!d`);
  const missing = inputs.filter((input) => !world.valid.has(input));
  demand(
    missing.length === 0 && !world.gated.has(name) && !world.dynamicPending.has(name),
    "I8: a step starts only when its inputs are there",
    () => `${name} lacks ${missing.join()}`,
  );
}

function runAttempt(world: World, assignment: Assignment): void {
  const attempt: SimAttempt = { assignment, mute: false };
  const id = assignment.attempt;
  world.running.set(id, attempt);
  const random = world.random;
  const name = nameOf(assignment.step);
  const step = world.planned(name);
  const report = (delay: number, run: () => void): void =>
    world.at(world.now + delay, () => {
      if (!attempt.mute) run();
    });
  if (step.kind === "resolves") {
    report(random.int(0, 100), () => resolve(world, id, name));
    return;
  }
  world.scheduler.sent(id, world.now);
  report(random.int(0, 5000), () => world.scheduler.acknowledged(id, world.now));
  if (!world.healed && random.chance(step.flaky)) {
    const outcome = random.pick<AttemptOutcome>([
      { ...trouble, reason: "import failed", evidence: { says: "broken", fault: "inputs" } },
      { ...trouble, reason: "no answer", evidence: { says: "broken", fault: "daemon" } },
      { ...trouble, reason: "no contact to the cache", evidence: { says: "nothing" } },
      { kind: "postponed", reason: "postponed", delayMs: 3000 },
      { kind: "cancelled" },
    ]);
    report(random.int(0, step.durationMs), () => complete(world, id, outcome, assignment.machine));
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
      complete(world, id, ending, assignment.machine);
      return;
    }
    world.scheduler.buildEnded(id, world.now);
    report(random.int(0, 20_000), () => complete(world, id, { kind: "succeeded" }, assignment.machine));
  });
}

function resolve(world: World, id: AttemptId, name: string): void {
  if (world.scheduler.attempt(id)?.phase !== "sent") return;
  const { system, features, preferLocal, expectedMs } = world.planned(name);
  const target = `${name}!r`;
  const done = world.scheduler.replaceStep(
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
    world.now,
  );
  demand(done.ended?.attempt === id, "a resolved step frees its slot", () => name);
  world.running.delete(id);
  world.resolved.add(name);
  world.avoid.delete(idOf(target));
}

const trouble = { kind: "retryable", exhausted: 3 } as const;

const deadDownload: AttemptOutcome = {
  kind: "retryable",
  reason: "download failed",
  exhausted: 1,
  evidence: { says: "works" },
};
