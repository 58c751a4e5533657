/**
 * The attempts in flight: what the runner remembers of a step between choosing a machine and recording the result.
 *
 * The scheduler decides who owns a step; this registry only keeps what I/O needs (row number, times, sizes).
 */

import type { StorePath } from "../../nix/path/store-path.js";
import type { AttemptId, BuildId, MachineId } from "../../scheduler/ids.js";
import type { Assignment } from "../../scheduler/types.js";
import type { StepFacts } from "./derivation-catalog.js";

/** The row of BuildSteps that stands for an attempt. */
export interface StepRow {
  readonly build: BuildId;
  readonly stepNumber: number;
}

/** What one build may produce, in bytes; 0 = no limit. */
export interface AttemptLimits {
  readonly maxLogSize: number;
  /** Of each output, as a NAR. */
  readonly maxOutputSize: number;
}

/** One attempt at a step, from the reserved slot to its outcome. */
export interface Attempt {
  readonly id: AttemptId;
  readonly assignment: Assignment;
  readonly drv: StorePath;
  readonly machine: MachineId;
  readonly hostname: string;
  /** Milliseconds since the epoch, on the runner's clock. */
  readonly startedAt: number;
  readonly facts: StepFacts;
  /** Bytes that its order allows; 0 = no limit. */
  readonly limits: AttemptLimits;
  /** `project:jobset` of all who wanted the step when it was assigned. */
  readonly jobsets: readonly string[];
  /** Resolves once the busy row is committed; rejects when it could not be written. */
  row: Promise<StepRow> | undefined;
  /** The order was put into the machine's tunnel. */
  sent: boolean;
  /**
   * When its builder reported, or when the runner ended it. Milliseconds since the epoch. Uploading to the caches comes
   * after it and must not count as time of the step.
   */
  endedAt?: number;
  /** The builder was building it already when it joined. */
  readonly adopted?: boolean;
  /** Settles when the log that is being received is complete on disk; never rejects. */
  log?: Promise<void>;
}

/** The attempts in flight by id and by machine. */
export class AttemptRegistry {
  readonly #byId = new Map<AttemptId, Attempt>();
  readonly #byMachine = new Map<MachineId, Map<AttemptId, Attempt>>();
  readonly #removalListeners: ((attempt: Attempt) => void)[] = [];

  /** `listener` gets each attempt as soon as it is over. It must not throw. */
  onRemoved(listener: (attempt: Attempt) => void): void {
    this.#removalListeners.push(listener);
  }

  add(attempt: Attempt): void {
    this.#byId.set(attempt.id, attempt);
    let jobs = this.#byMachine.get(attempt.machine);
    if (jobs === undefined) {
      jobs = new Map();
      this.#byMachine.set(attempt.machine, jobs);
    }
    jobs.set(attempt.id, attempt);
  }

  get(id: AttemptId): Attempt | undefined {
    return this.#byId.get(id);
  }

  /** The attempt of `id` if it belongs to `machine`. */
  of(machine: MachineId, id: AttemptId): Attempt | undefined {
    return this.#byMachine.get(machine)?.get(id);
  }

  onMachine(machine: MachineId): readonly Attempt[] {
    return [...(this.#byMachine.get(machine)?.values() ?? [])];
  }

  /** Attempts that `machine` knows of: it has their orders, or came with their builds. */
  givenTo(machine: MachineId): readonly Attempt[] {
    return this.onMachine(machine).filter(({ sent, adopted }) => sent || adopted === true);
  }

  remove(id: AttemptId): void {
    const attempt = this.#byId.get(id);
    if (attempt === undefined) return;
    this.#byId.delete(id);
    const jobs = this.#byMachine.get(attempt.machine);
    jobs?.delete(id);
    if (jobs?.size === 0) this.#byMachine.delete(attempt.machine);
    for (const listener of this.#removalListeners) listener(attempt);
  }

  all(): Iterable<Attempt> {
    return this.#byId.values();
  }

  get size(): number {
    return this.#byId.size;
  }
}
