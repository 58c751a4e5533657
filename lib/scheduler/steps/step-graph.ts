/**
 * Steps and the edges between them; keeps every step's queue keys equal to what its builds and dependents say.
 *
 * Keys travel down from dependents to inputs. A change marks the step it touches; `settle`, called before the keys are
 * needed, visits marked steps in order of height (dependents first). So each is visited once however many changes came
 * since, and only where something really changed.
 */
import { SchedulerError } from "../errors.js";
import type { StepId } from "../ids.js";
import type { JobsetShares } from "../queue/jobset-shares.js";
import { StepKeys } from "../queue/step-keys.js";
import type { StepInput } from "../types.js";
import { HeightQueue } from "./height-queue.js";
import type { Build, Step } from "./step.js";
import { noItems, withItem, withoutItem } from "./step-list.js";

/** What the owner of the queues learns from the graph. */
export interface StepGraphHooks {
  /** The keys of a queued step are about to change, or have changed. */
  detach(step: Step): void;
  attach(step: Step): void;
  /** What a build asks of its step. */
  keysOf(build: Build): StepKeys;
  /** Some build began, or the last one ceased, to need the step. */
  wantedChanged(step: Step): void;
}

/** Steps by id, with their edges. Changed keys spread to inputs when the graph is settled, not at each change. */
export class StepGraph {
  readonly steps = new Map<StepId, Step>();
  /** Resolved derivation → the step that stands for it. */
  readonly aliases = new Map<StepId, Step>();
  edges = 0;
  /** Keep `Step.criticalPath`; see `setCriticalPath`. */
  #criticalPath = false;
  readonly #dirty = new HeightQueue();
  /** Of a step that no build needs. */
  readonly none: StepKeys;
  readonly #shares: JobsetShares;
  readonly #hooks: StepGraphHooks;

  constructor(shares: JobsetShares, hooks: StepGraphHooks) {
    this.#shares = shares;
    this.none = new StepKeys(shares.empty);
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
    this.#shares.retain(step.keys.jobsets);
    if (this.#criticalPath) this.#dirty.push(step);
  }

  /** Takes a step out that has no dependents and no builds; returns its former inputs. */
  remove(step: Step): readonly Step[] {
    step.removed = true;
    const { inputs } = step;
    step.inputs = noItems;
    this.edges -= inputs.length;
    for (const input of inputs) this.#lostDependent(input, step);
    this.steps.delete(step.id);
    for (const alias of step.aliases ?? []) this.aliases.delete(alias);
    this.#shares.release(step.keys.jobsets);
    return inputs;
  }

  /** Links a step that has no inputs yet. @throws SchedulerError `unknown-step` */
  linkAll(dependent: Step, inputs: readonly StepInput[]): void {
    const found: Step[] = [];
    for (const { id, chain } of inputs) {
      const input = this.get(id);
      if (chain !== undefined && chain.length > 0) dependent.addChain(input, chain);
      if (!found.includes(input)) found.push(input);
    }
    if (found.length === 0) return;
    // A copy has no spare room.
    dependent.inputs = found.slice();
    for (const input of found) this.#gainedInput(dependent, input);
  }

  /** `dependent` needs `input`; further chains of a known pair are added to those it has. */
  link(dependent: Step, input: Step, chain: StepInput["chain"]): void {
    if (chain !== undefined && chain.length > 0) dependent.addChain(input, chain);
    if (dependent.inputs.includes(input)) return;
    dependent.inputs = withItem(dependent.inputs, input);
    this.#gainedInput(dependent, input);
  }

  /**
   * Parts a step, which is about to be removed, from those that wait for it; returns them. Their chains for it stay:
   * take them with `chainsOf`, then call `dropChains`.
   */
  leaveDependents(step: Step): readonly Step[] {
    const all = step.dependents;
    const dependents = step.removedDependents === 0 ? all : all.filter(({ removed }) => !removed);
    step.dependents = noItems;
    step.removedDependents = 0;
    this.edges -= dependents.length;
    for (const dependent of dependents) dependent.inputs = withoutItem(dependent.inputs, step);
    return dependents;
  }

  addBuild(step: Step, build: Build, keys: StepKeys): void {
    step.builds = withItem(step.builds, build);
    join(step, keys, 0);
    this.#dirty.push(step);
  }

  removeBuild(step: Step, build: Build): void {
    step.builds = step.builds.length === 1 ? noItems : step.builds.filter((other) => other !== build);
    step.stale = true;
    this.#dirty.push(step);
  }

  /** What a build asks of its step changed. */
  buildChanged(step: Step, before: StepKeys, after: StepKeys): void {
    join(step, after, 0);
    if (!after.covers(before, 0)) step.stale = true;
    this.#dirty.push(step);
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
      step.stale = true;
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
      for (const input of step.inputs) stack.push(input);
    }
    return false;
  }

  /** The step and everything that needs it. */
  withDependents(step: Step): Set<Step> {
    const seen = new Set([step]);
    for (const reached of seen) {
      for (const dependent of reached.dependents) if (!dependent.removed) seen.add(dependent);
    }
    return seen;
  }

  /** Brings the keys of all marked steps, and of what they pass on to, up to date. */
  settle(): void {
    for (let step = this.#dirty.pop(); step !== undefined; step = this.#dirty.pop()) {
      if (!step.removed) this.#visit(step);
    }
  }

  #gainedInput(dependent: Step, input: Step): void {
    input.dependents = withItem(input.dependents, dependent);
    this.edges++;
    if (input.height >= dependent.height) this.#raise(dependent, input.height + 1);
    join(input, dependent.keys, dependent.criticalPath);
    this.#dirty.push(input);
  }

  /** `dependent` was removed. Thousands may wait for one step, so they are taken out together, not each by a search. */
  #lostDependent(input: Step, dependent: Step): void {
    input.removedDependents++;
    if (input.removedDependents * 2 > input.dependents.length) {
      input.dependents =
        input.dependentsLeft === 0 ? noItems : input.dependents.filter(({ removed }) => !removed);
      input.removedDependents = 0;
    }
    if (dependent.keys.wanted || dependent.criticalPath > 0) input.stale = true;
    this.#dirty.push(input);
  }

  #visit(step: Step): void {
    const { keys: old, criticalPath: oldPath } = step;
    let keys = step.pending ?? old;
    if (step.stale) keys = this.#rescan(step, keys);
    step.pending = undefined;
    step.stale = false;
    if (keys.equals(old)) keys = old;
    const path = this.#criticalPath ? step.expectedMs + keys.pathAbove : 0;
    const passOn = keys !== old || path !== oldPath;
    if (!passOn && step.dependentsLeft === step.dependentCount) return;
    const { queue } = step;
    if (queue !== undefined) this.#hooks.detach(step);
    if (keys !== old) {
      keys.jobsets = this.#shares.retain(keys.jobsets);
      this.#shares.release(old.jobsets);
    }
    step.keys = keys;
    step.criticalPath = path;
    step.dependentCount = step.dependentsLeft;
    if (queue !== undefined && keys.wanted) this.#hooks.attach(step);
    if (passOn) {
      const shrank = path < oldPath || !keys.covers(old, 0);
      for (const input of step.inputs) {
        if (shrank) input.stale = true;
        if (join(input, keys, path) || shrank) this.#dirty.push(input);
      }
    }
    if (keys.wanted !== old.wanted) this.#hooks.wantedChanged(step);
  }

  /** The keys from scratch. They are within `bound`, so the search ends when they reach it. */
  #rescan(step: Step, bound: StepKeys): StepKeys {
    const keys = this.none.copy();
    for (const build of step.builds) keys.join(this.#hooks.keysOf(build), 0);
    for (const dependent of step.dependents) {
      if (dependent.removed) continue;
      if (keys.covers(dependent.keys, dependent.criticalPath)) continue;
      keys.join(dependent.keys, dependent.criticalPath);
      if (keys.covers(bound, bound.pathAbove)) break;
    }
    return keys;
  }

  /** Keeps heights above those of inputs when an edge is added below a step that others need. */
  #raise(step: Step, height: number): void {
    step.height = height;
    this.#dirty.raised(step);
    const stack = [step];
    for (let raised = stack.pop(); raised !== undefined; raised = stack.pop()) {
      for (const dependent of raised.dependents) {
        if (dependent.removed || dependent.height > raised.height) continue;
        dependent.height = raised.height + 1;
        this.#dirty.raised(dependent);
        stack.push(dependent);
      }
    }
  }
}

/** Lets a step inherit more; false when it has all of it already. */
function join(step: Step, keys: StepKeys, path: number): boolean {
  if ((step.pending ?? step.keys).covers(keys, path)) return false;
  step.pending ??= step.keys.copy();
  step.pending.join(keys, path);
  return true;
}
