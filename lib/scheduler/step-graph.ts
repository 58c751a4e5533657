/**
 * Steps and the edges between them; keeps every step's queue keys equal to what its builds and dependents say.
 *
 * Keys travel down from dependents to inputs. A change marks the step it touches; `settle`, called before the keys are
 * needed, visits marked steps in order of height (dependents first). So each is visited once however many changes came
 * since, and only where something really changed.
 */
import { SchedulerError } from "./errors.js";
import { HeightQueue } from "./height-queue.js";
import type { StepId } from "./ids.js";
import type { JobsetShares } from "./queue/jobset-shares.js";
import { StepKeys } from "./queue/step-keys.js";
import { type Build, Edge, type Step } from "./step.js";
import type { StepInput } from "./types.js";

/** What the owner of the queues learns from the graph. */
export interface StepGraphHooks {
  /** The keys of a queued step are about to change, or have changed. */
  detach(step: Step): void;
  attach(step: Step): void;
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
  remove(step: Step): Step[] {
    step.removed = true;
    const inputs = step.inputs.map((edge) => edge.input);
    for (let last = step.inputs.at(-1); last !== undefined; last = step.inputs.at(-1)) this.unlink(last);
    this.steps.delete(step.id);
    for (const alias of step.aliases ?? []) this.aliases.delete(alias);
    this.#shares.release(step.keys.jobsets);
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
    join(input, dependent.keys, dependent.criticalPath);
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
    if (dependent.keys.wanted || dependent.criticalPath > 0) input.stale = true;
    this.#dirty.push(input);
  }

  addBuild(step: Step, build: Build): void {
    step.builds.push(build);
    join(step, build.keys, 0);
    this.#dirty.push(step);
  }

  removeBuild(step: Step, build: Build): void {
    step.builds.splice(step.builds.indexOf(build), 1);
    step.stale = true;
    this.#dirty.push(step);
  }

  setBuildKeys(build: Build, keys: StepKeys): void {
    const { step, keys: old } = build;
    build.keys = keys;
    join(step, keys, 0);
    if (!keys.covers(old, 0)) step.stale = true;
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
    const { keys: old, criticalPath: oldPath } = step;
    let keys = step.pending ?? old;
    if (step.stale) keys = this.#rescan(step, keys);
    step.pending = undefined;
    step.stale = false;
    if (keys.equals(old)) keys = old;
    const path = this.#criticalPath ? step.expectedMs + keys.pathAbove : 0;
    const passOn = keys !== old || path !== oldPath;
    if (!passOn && step.dependents.length === step.dependentCount) return;
    const { queue } = step;
    if (queue !== undefined) this.#hooks.detach(step);
    if (keys !== old) {
      keys.jobsets = this.#shares.retain(keys.jobsets);
      this.#shares.release(old.jobsets);
    }
    step.keys = keys;
    step.criticalPath = path;
    step.dependentCount = step.dependents.length;
    if (queue !== undefined && keys.wanted) this.#hooks.attach(step);
    if (passOn) {
      const shrank = path < oldPath || !keys.covers(old, 0);
      for (const { input } of step.inputs) {
        if (shrank) input.stale = true;
        if (join(input, keys, path) || shrank) this.#dirty.push(input);
      }
    }
    if (keys.wanted !== old.wanted) this.#hooks.wantedChanged(step);
  }

  /** The keys from scratch. They are within `bound`, so the search ends when they reach it. */
  #rescan(step: Step, bound: StepKeys): StepKeys {
    const keys = this.none.copy();
    for (const build of step.builds) keys.join(build.keys, 0);
    for (const { dependent } of step.dependents) {
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
      for (const { dependent } of raised.dependents) {
        if (dependent.height > raised.height) continue;
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
