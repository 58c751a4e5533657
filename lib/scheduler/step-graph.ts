/**
 * Steps and the edges between them; keeps every step's queue keys equal to what its builds and dependents say.
 *
 * Keys travel down from dependents to inputs. A change marks the step it touches; `settle` visits marked steps in
 * order of height (dependents first), so each is visited once per event and only where something really changed.
 */
import { SchedulerError } from "./errors.js";
import { HeightQueue } from "./height-queue.js";
import type { StepId } from "./ids.js";
import type { Profile, ProfileTable } from "./priority-profile.js";
import { type Build, Edge, noBuild, type Step } from "./step.js";
import type { StepInput } from "./types.js";

export interface StepGraphHooks {
  /** The keys of a queued step are about to change, or have changed. */
  detach(step: Step): void;
  attach(step: Step): void;
  /** Some build began, or the last one ceased, to need the step. */
  wantedChanged(step: Step): void;
}

export class StepGraph {
  readonly steps = new Map<StepId, Step>();
  /** Resolved derivation → the step that stands for it. */
  readonly aliases = new Map<StepId, Step>();
  edges = 0;
  /** Keep `Step.criticalPath`; see `setCriticalPath`. */
  #criticalPath = false;
  readonly #dirty = new HeightQueue();
  readonly #profiles: ProfileTable;
  readonly #hooks: StepGraphHooks;

  constructor(profiles: ProfileTable, hooks: StepGraphHooks) {
    this.#profiles = profiles;
    this.#hooks = hooks;
  }

  find(id: StepId): Step | undefined {
    return this.steps.get(id) ?? this.aliases.get(id);
  }

  get(id: StepId): Step {
    const step = this.find(id);
    if (step === undefined) throw new SchedulerError("unknown-step", `step ${id} is not known`);
    return step;
  }

  add(step: Step): void {
    this.steps.set(step.id, step);
    this.#profiles.retain(step.profile);
    if (this.#criticalPath) this.#dirty.push(step);
  }

  /** Takes a step out that has no dependents and no builds; returns its former inputs. */
  remove(step: Step): Step[] {
    step.removed = true;
    const inputs = step.inputs.map((edge) => edge.input);
    for (let last = step.inputs.at(-1); last !== undefined; last = step.inputs.at(-1)) this.unlink(last);
    this.steps.delete(step.id);
    for (const alias of step.aliases ?? []) this.aliases.delete(alias);
    this.#profiles.release(step.profile);
    return inputs;
  }

  /** `dependent` needs `input`; further chains of a known pair are added to its edge. */
  link(dependent: Step, input: Step, chain: StepInput["chain"]): void {
    const chains = chain !== undefined && chain.length > 0 ? [chain] : [];
    const known = dependent.inputs.find((edge) => edge.input === input);
    if (known !== undefined) {
      known.chains = [...known.chains, ...chains];
      return;
    }
    const edge = new Edge(dependent, input, chains, dependent.inputs.length, input.dependents.length);
    dependent.inputs.push(edge);
    input.dependents.push(edge);
    this.edges++;
    if (input.height >= dependent.height) this.#raise(dependent, input.height + 1);
    if (dependent.profile !== this.#profiles.none) input.contributions.add(dependent.profile);
    if (dependent.lowestBuild < input.nextLowestBuild) input.nextLowestBuild = dependent.lowestBuild;
    if (dependent.criticalPath > input.pathAbove) input.pathAbove = dependent.criticalPath;
    this.#dirty.push(input);
  }

  unlink(edge: Edge): void {
    const { dependent, input } = edge;
    const lastInput = dependent.inputs.pop();
    if (lastInput !== undefined && lastInput !== edge) {
      dependent.inputs[edge.inDependent] = lastInput;
      lastInput.inDependent = edge.inDependent;
    }
    const lastDependent = input.dependents.pop();
    if (lastDependent !== undefined && lastDependent !== edge) {
      input.dependents[edge.inInput] = lastDependent;
      lastDependent.inInput = edge.inInput;
    }
    this.edges--;
    if (dependent.profile !== this.#profiles.none) input.contributions.remove(dependent.profile);
    if (dependent.lowestBuild === input.nextLowestBuild) input.lowestBuildStale = true;
    if (dependent.criticalPath === input.pathAbove) input.pathAboveStale = true;
    this.#dirty.push(input);
  }

  addBuild(step: Step, build: Build): void {
    step.builds.push(build);
    this.#profiles.retain(build.profile);
    step.contributions.add(build.profile);
    if (build.id < step.nextLowestBuild) step.nextLowestBuild = build.id;
    this.#dirty.push(step);
  }

  removeBuild(step: Step, build: Build): void {
    step.builds.splice(step.builds.indexOf(build), 1);
    step.contributions.remove(build.profile);
    this.#profiles.release(build.profile);
    if (build.id === step.nextLowestBuild) step.lowestBuildStale = true;
    this.#dirty.push(step);
  }

  setBuildProfile(build: Build, profile: Profile): void {
    if (build.profile === profile) return;
    this.#profiles.retain(profile);
    build.step.contributions.add(profile);
    build.step.contributions.remove(build.profile);
    this.#profiles.release(build.profile);
    build.profile = profile;
    this.#dirty.push(build.step);
  }

  /** The expected duration of a step changed. */
  touch(step: Step): void {
    this.#dirty.push(step);
  }

  /** Switches the upkeep of critical paths. O(steps + edges) when switched on. */
  setCriticalPath(on: boolean): void {
    if (on === this.#criticalPath) return;
    this.#criticalPath = on;
    for (const step of this.steps.values()) {
      step.pathAboveStale = true;
      this.#dirty.push(step);
    }
    this.settle();
  }

  /** True when `from` needs `target`, directly or not. */
  reaches(from: Step, target: Step): boolean {
    const seen = new Set<Step>();
    const stack = [from];
    for (let step = stack.pop(); step !== undefined; step = stack.pop()) {
      if (step === target) return true;
      if (step.height <= target.height || seen.has(step)) continue;
      seen.add(step);
      for (const edge of step.inputs) stack.push(edge.input);
    }
    return false;
  }

  /** The step and everything that needs it. */
  withDependents(step: Step): Set<Step> {
    const seen = new Set([step]);
    for (const reached of seen) for (const edge of reached.dependents) seen.add(edge.dependent);
    return seen;
  }

  /** Brings the keys of all marked steps, and of what they pass on to, up to date. */
  settle(): void {
    for (let step = this.#dirty.pop(); step !== undefined; step = this.#dirty.pop()) {
      if (!step.removed) this.#visit(step);
    }
  }

  #visit(step: Step): void {
    if (step.lowestBuildStale) this.#rescanLowestBuild(step);
    if (step.pathAboveStale) rescanPath(step);
    const { profile: oldProfile, lowestBuild: oldLowest, criticalPath: oldPath } = step;
    const profile = step.contributions.combined(this.#profiles);
    const lowestBuild = step.nextLowestBuild;
    const path = this.#criticalPath ? step.expectedMs + step.pathAbove : 0;
    if (
      profile === oldProfile &&
      lowestBuild === oldLowest &&
      path === oldPath &&
      step.dependents.length === step.dependentCount
    ) {
      return;
    }
    this.#profiles.retain(profile);
    const { queue } = step;
    if (queue !== undefined) this.#hooks.detach(step);
    step.profile = profile;
    step.lowestBuild = lowestBuild;
    step.criticalPath = path;
    step.dependentCount = step.dependents.length;
    if (queue !== undefined) this.#hooks.attach(step);
    const { none } = this.#profiles;
    if (profile !== oldProfile || lowestBuild !== oldLowest || path !== oldPath) {
      for (const { input } of step.inputs) {
        if (profile !== oldProfile) {
          if (profile !== none) input.contributions.add(profile);
          if (oldProfile !== none) input.contributions.remove(oldProfile);
        }
        if (lowestBuild < input.nextLowestBuild) input.nextLowestBuild = lowestBuild;
        else if (oldLowest === input.nextLowestBuild && lowestBuild !== oldLowest)
          input.lowestBuildStale = true;
        if (path > input.pathAbove) input.pathAbove = path;
        else if (oldPath === input.pathAbove && path !== oldPath) input.pathAboveStale = true;
        this.#dirty.push(input);
      }
    }
    this.#profiles.release(oldProfile);
    if ((profile === none) !== (oldProfile === none)) this.#hooks.wantedChanged(step);
  }

  #rescanLowestBuild(step: Step): void {
    step.lowestBuildStale = false;
    let lowest = noBuild;
    for (const build of step.builds) if (build.id < lowest) lowest = build.id;
    for (const { dependent } of step.dependents)
      if (dependent.lowestBuild < lowest) lowest = dependent.lowestBuild;
    step.nextLowestBuild = lowest;
  }

  /** Keeps heights above those of inputs when an edge is added below a step that others need. */
  #raise(step: Step, height: number): void {
    step.height = height;
    const stack = [step];
    for (let raised = stack.pop(); raised !== undefined; raised = stack.pop()) {
      for (const { dependent } of raised.dependents) {
        if (dependent.height > raised.height) continue;
        dependent.height = raised.height + 1;
        stack.push(dependent);
      }
    }
  }
}

function rescanPath(step: Step): void {
  step.pathAboveStale = false;
  let longest = 0;
  for (const { dependent } of step.dependents) {
    if (dependent.criticalPath > longest) longest = dependent.criticalPath;
  }
  step.pathAbove = longest;
}
