/** What follows from the scheduler's answers: builds get their results, attempts end, machines count as lost. */
import type {
  AttemptId,
  AttemptOutcome,
  BuildId,
  Completion,
  Effect,
  MachineId,
  StepId,
} from "../../../lib/scheduler/index.js";
import { checkEnd, demand } from "../oracle.js";
import { idOf, nameOf, type World } from "./world.js";

/** A builder reports. */
export function complete(world: World, id: AttemptId, outcome: AttemptOutcome, from: MachineId): void {
  const live = world.running.has(id);
  if (outcome.kind === "retryable" && outcome.evidence.says === "broken") foundFaulty(world, from);
  const completion = world.scheduler.complete(id, outcome, world.now, world.random.next, from);
  demand(
    live === (completion.kind !== "stale"),
    "I4: stale reports are refused",
    () => `${id} ${completion.kind}`,
  );
  checkEnd(world.scheduler, world.now, outcome, completion);
  if (outcome.kind === "retryable" && completion.kind === "retry") remember(world, completion);
  record(world, completion);
}

/** What a completion means for builds and steps. */
export function record(world: World, completion: Completion): void {
  if (completion.kind === "stale") return;
  if (completion.ended !== undefined) world.running.delete(completion.ended.attempt);
  if (completion.kind === "finished") {
    const name = nameOf(completion.step);
    world.valid.add(name);
    if (name.endsWith("!r")) world.valid.add(name.slice(0, -2));
    for (const id of completion.ownBuilds) settleBuild(world, id, "finished");
    for (const { dependent, producer } of completion.dynamic) continueDynamic(world, dependent, producer);
    apply(world, completion.effects);
  } else if (completion.kind === "failed") {
    for (const { id } of completion.builds) settleBuild(world, id, "failed");
    apply(world, completion.effects);
  }
}

/** Carries out what the scheduler asks for. */
export function apply(world: World, effects: readonly Effect[]): void {
  for (const effect of effects) {
    switch (effect.kind) {
      case "abortAttempt": {
        const attempt = world.running.get(effect.attempt);
        demand(attempt !== undefined, "only live attempts are aborted", () => effect.attempt);
        if (attempt !== undefined && world.random.chance(0.7)) attempt.mute = true;
        if (world.random.chance(0.9)) {
          world.at(world.now + world.random.int(0, 5000), () =>
            complete(world, effect.attempt, { kind: "cancelled" }, effect.machine),
          );
        }
        break;
      }
      case "attemptEnded":
        foundFaulty(world, effect.machine);
        demand(
          effect.completion.kind !== "failed" || effect.completion.status === 3,
          "I9: infrastructure trouble never fails a step as a build failure",
          () => JSON.stringify(effect),
        );
        if (effect.completion.kind === "retry") remember(world, effect.completion);
        record(world, effect.completion);
        break;
      case "machineLost": {
        const machine = world.machines.get(effect.machine);
        if (machine !== undefined) machine.alive = false;
        for (const [step, avoided] of world.avoid) if (avoided === effect.machine) world.avoid.delete(step);
        break;
      }
      case "stepUnsupported": {
        const { step } = effect.completion;
        const since = world.unsupportedSince.get(step) ?? Infinity;
        demand(
          world.now - since >= world.scheduler.options.maxUnsupportedMs,
          "a step that no machine can do fails in time",
          () => `${step} failed too early`,
        );
        record(world, effect.completion);
      }
    }
  }
}

function foundFaulty(world: World, id: MachineId): void {
  const machine = world.machines.get(id);
  if (machine !== undefined) world.faulty.add(machine.info.hostname);
}

function remember(world: World, { step, ended }: Extract<Completion, { kind: "retry" }>): void {
  if (world.scheduler.hasMachine(ended.machine)) world.avoid.set(step, ended.machine);
  else world.avoid.delete(step);
}

function settleBuild(world: World, id: BuildId, outcome: "finished" | "failed"): void {
  const build = world.builds.get(id);
  demand(
    build?.outcome === "none",
    "a build has exactly one outcome",
    () => `${id}: ${build?.outcome} → ${outcome}`,
  );
  if (build !== undefined) build.outcome = outcome;
}

function continueDynamic(world: World, dependent: StepId, producer: StepId): void {
  const name = nameOf(dependent);
  world.dynamicPending.add(name);
  world.at(world.now + world.random.int(0, 2000), () => {
    if (!world.dynamicPending.has(name) || !world.scheduler.hasStep(dependent)) return;
    world.dynamicPending.delete(name);
    world.dynamicSettled.add(name);
    const found = `${name}!d`;
    const { system, features, expectedMs } = world.planned(name);
    const fresh = {
      id: idOf(found),
      name: found,
      system,
      features,
      expectedDurationMs: expectedMs,
      inputs: [],
    };
    if (!world.valid.has(found)) {
      if (!world.scheduler.hasStep(fresh.id)) world.avoid.delete(fresh.id);
      world.scheduler.addSteps([fresh], world.now);
    }
    const inputs = world.valid.has(found) ? [] : [{ id: fresh.id }];
    world.scheduler.addInputs(dependent, inputs, world.now, producer);
  });
}
