/** How steps and builds get into the graph, and how a derivation is replaced by what it was resolved to. */

import type { Core, SettledCore } from "../core.js";
import { SchedulerError } from "../errors.js";
import type { StepId } from "../ids.js";
import type { SchedulerOptions } from "../options.js";
import type { BuildPriorities, NewBuild, NewStep, Replacement, StepInput } from "../types.js";
import { endWithoutResult } from "./attempt-life.js";
import { Build, keysOfBuild, Step } from "./step.js";
import { dropUnneeded, forget, makeReady, ownBuildsOf, withdraw } from "./step-life.js";

/**
 * Adds steps with the edges between them, inputs first. See `SchedulerCommands.addSteps`.
 *
 * @throws SchedulerError `unknown-input`, `cycle`; nothing has changed then
 */
export function addSteps(core: Core, batch: readonly NewStep[]): void {
  for (const from of inputsFirst(core, batch)) {
    const step = createStep(core, from);
    core.graph.linkAll(step, from.inputs);
  }
}

function createStep(core: Core, from: NewStep): Step {
  const bucket = core.board.enter(from, core.now);
  const step = new Step(from, bucket, core.sequence++, core.graph.none, core.options.defaultDurationMs);
  core.graph.add(step);
  core.counters.stepsAdded++;
  if (step.gate !== undefined) core.gated++;
  return step;
}

/** The unknown steps of the batch, inputs before dependents. Throws before anything is changed. */
function inputsFirst(core: Core, batch: readonly NewStep[]): NewStep[] {
  const fresh = new Map<StepId, NewStep>();
  for (const from of batch) if (core.graph.find(from.id) === undefined) fresh.set(from.id, from);
  const order: NewStep[] = [];
  const state = new Map<StepId, "open" | "done">();
  for (const root of fresh.values()) {
    if (state.has(root.id)) continue;
    state.set(root.id, "open");
    const path = [{ from: root, next: 0 }];
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const input = top.from.inputs[top.next++];
      if (input === undefined) {
        state.set(top.from.id, "done");
        order.push(top.from);
        path.pop();
        continue;
      }
      const from = fresh.get(input.id);
      if (from === undefined) {
        if (core.graph.find(input.id) !== undefined) continue;
        throw new SchedulerError(
          "unknown-input",
          `step ${top.from.id} needs ${input.id}, which is not known`,
        );
      }
      const seen = state.get(input.id);
      if (seen === "open") throw new SchedulerError("cycle", `step ${input.id} depends on itself`);
      if (seen === undefined) {
        state.set(input.id, "open");
        path.push({ from, next: 0 });
      }
    }
  }
  return order;
}

/**
 * Adds a build of a known step for a known jobset.
 *
 * @throws SchedulerError `unknown-jobset`, `unknown-step`, `duplicate-build`
 */
export function addBuild(core: Core, from: NewBuild): void {
  const jobset = core.shares.get(from.jobset);
  if (jobset === undefined) throw new SchedulerError("unknown-jobset", `jobset ${from.jobset} is not known`);
  const step = core.graph.get(from.step);
  if (core.builds.has(from.id))
    throw new SchedulerError("duplicate-build", `build ${from.id} is known already`);
  const build = new Build(from, jobset, step);
  core.builds.set(build.id, build);
  jobset.builds++;
  core.graph.addBuild(step, build, core.keysOf(build));
  core.counters.buildsAdded++;
}

/** Changes the priorities of a build, and with them the keys of all steps that it needs. */
export function setBuildPriority(core: Core, build: Build, priorities: BuildPriorities): void {
  const before = core.keysOf(build);
  build.globalPriority = priorities.globalPriority;
  build.localPriority = priorities.localPriority;
  core.graph.buildChanged(build.step, before, core.keysOf(build));
}

/** After the default limits changed. */
export function refreshLimits(core: Core, before: SchedulerOptions): void {
  for (const build of core.builds.values()) {
    core.graph.buildChanged(build.step, keysOfBuild(build, before), core.keysOf(build));
  }
}

/**
 * Adds inputs to a step that is not running; `producer` is the dynamic input that is settled by this.
 *
 * @throws SchedulerError `unknown-input`, `cycle`, `step-busy`
 */
export function addInputs(
  core: Core,
  step: Step,
  inputs: readonly StepInput[],
  producer: StepId | undefined,
): void {
  const found = inputs.map(({ id, chain }) => {
    const input = core.graph.find(id);
    if (input === undefined) {
      throw new SchedulerError("unknown-input", `step ${step.id} needs ${id}, which is not known`);
    }
    if (core.graph.reaches(input, step))
      throw new SchedulerError("cycle", `step ${step.id} depends on itself`);
    return { input, chain };
  });
  if (step.attempt !== undefined) {
    throw new SchedulerError("step-busy", `step ${step.id} is running; it cannot get more inputs`);
  }
  if (producer !== undefined && step.dynamicPending?.delete(producer) && step.dynamicPending.size === 0) {
    step.dynamicPending = undefined;
    if (step.gate === undefined) core.dynamicPending--;
  }
  if (found.length > 0) withdraw(core, step);
  for (const { input, chain } of found) core.graph.link(step, input, chain);
  makeReady(core, step);
}

/** Dependents and builds of `old` move to the step it was resolved to. */
export function replaceStep(core: SettledCore, old: Step, replacement: NewStep): Replacement {
  const known = core.graph.find(replacement.id);
  if (known === old) throw new SchedulerError("cycle", `step ${old.id} was resolved to itself`);
  if (known !== undefined) assertNotBelow(core, known, old);
  else addSteps(core, [replacement]);
  const target = core.graph.get(replacement.id);
  const ended = old.attempt === undefined ? undefined : endWithoutResult(core, old.attempt);
  withdraw(core, old);
  const ownBuilds = ownBuildsOf(old);
  for (let build = old.builds.at(-1); build !== undefined; build = old.builds.at(-1)) {
    core.graph.removeBuild(old, build);
    build.step = target;
    core.graph.addBuild(target, build, core.keysOf(build));
  }
  for (const dependent of core.graph.leaveDependents(old)) {
    const chains = dependent.chainsOf(old);
    dependent.dropChains(old);
    core.graph.link(dependent, target, undefined);
    for (const chain of chains) core.graph.link(dependent, target, chain);
  }
  const aliases = [old.id, ...(old.aliases ?? [])];
  old.aliases = undefined;
  const inputs = forget(core, old);
  target.aliases = [...(target.aliases ?? []), ...aliases];
  for (const alias of aliases) core.graph.aliases.set(alias, target);
  dropUnneeded(core, [...inputs, target], false);
  if (!target.removed) makeReady(core, target);
  return { from: old.id, to: target.id, ended, ownBuilds, created: known === undefined };
}

function assertNotBelow(core: Core, target: Step, old: Step): void {
  const users = [old, ...old.dependents.filter(({ removed }) => !removed)];
  for (const user of users) {
    if (core.graph.reaches(target, user)) {
      throw new SchedulerError(
        "cycle",
        `step ${target.id}, to which ${old.id} was resolved, depends on ${user.id}`,
      );
    }
  }
}
