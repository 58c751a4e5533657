/**
 * The attempts in flight: what the runner remembers of a step between choosing a machine and recording the result.
 *
 * The scheduler decides who owns a step; this registry only keeps what I/O needs (row number, times, sizes).
 */

import { outputPathName } from "../../nix/path/content-address.js";
import { type StorePath, storePathName } from "../../nix/path/store-path.js";
import type { AttemptId, BuildId, MachineId } from "../../scheduler/ids.js";
import type { Assignment } from "../../scheduler/types.js";
import type { StepFacts } from "./derivation-catalog.js";
import { Groups } from "./groups.js";

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

/** Attempts of which some may be asked to speak for a path. A farm has thousands, so they are looked up. */
export interface AttemptsInQuestion {
  /** Those with an output of this path, or of its name whose path only the build can tell. */
  making(path: StorePath): readonly Attempt[];
  /** All of them. */
  all(): readonly Attempt[];
  /** How many there are, with those whose machines do not know of them yet. */
  count(): number;
}

/** The attempts in flight by id, machine, derivation and output. */
export class AttemptRegistry {
  readonly #byId = new Map<AttemptId, Attempt>();
  readonly #byMachine = new Groups<MachineId, Attempt>();
  readonly #byDerivation = new Groups<StorePath, Attempt>();
  readonly #byOutput = new Groups<StorePath, Attempt>();
  /** By the names of outputs whose paths only the build can tell. */
  readonly #byOutputName = new Groups<string, Attempt>();
  readonly #removalListeners: ((attempt: Attempt) => void)[] = [];

  /** `listener` gets each attempt as soon as it is over. It must not throw. */
  onRemoved(listener: (attempt: Attempt) => void): void {
    this.#removalListeners.push(listener);
  }

  add(attempt: Attempt): void {
    this.#forget(attempt.id);
    this.#byId.set(attempt.id, attempt);
    this.#index("add", attempt);
  }

  get(id: AttemptId): Attempt | undefined {
    return this.#byId.get(id);
  }

  /** The attempt of `id` if it belongs to `machine`. */
  of(machine: MachineId, id: AttemptId): Attempt | undefined {
    const attempt = this.#byId.get(id);
    return attempt?.machine === machine ? attempt : undefined;
  }

  onMachine(machine: MachineId): readonly Attempt[] {
    return [...this.#byMachine.get(machine)];
  }

  countOn(machine: MachineId): number {
    return this.#byMachine.get(machine).size;
  }

  /** Attempts for the derivation, on whatever machines. */
  forDerivation(drv: StorePath): readonly Attempt[] {
    return [...this.#byDerivation.get(drv)];
  }

  /** Attempts with an output of this path, or of its name whose path only the build can tell. */
  making(path: StorePath): readonly Attempt[] {
    return [...this.#byOutput.get(path), ...this.#byOutputName.get(storePathName(path))];
  }

  remove(id: AttemptId): void {
    const attempt = this.#forget(id);
    if (attempt === undefined) return;
    for (const listener of this.#removalListeners) listener(attempt);
  }

  all(): Iterable<Attempt> {
    return this.#byId.values();
  }

  get size(): number {
    return this.#byId.size;
  }

  #forget(id: AttemptId): Attempt | undefined {
    const attempt = this.#byId.get(id);
    if (attempt === undefined) return undefined;
    this.#byId.delete(id);
    this.#index("delete", attempt);
    return attempt;
  }

  #index(change: "add" | "delete", attempt: Attempt): void {
    this.#byMachine[change](attempt.machine, attempt);
    this.#byDerivation[change](attempt.drv, attempt);
    for (const [output, path] of attempt.facts.outputs) {
      if (path !== undefined) this.#byOutput[change](path, attempt);
      else this.#byOutputName[change](outputPathName(attempt.facts.name, output), attempt);
    }
  }
}

/** Whether its machine knows of the attempt: it has the order, or came with the build. */
export function isGiven({ sent, adopted }: Pick<Attempt, "sent" | "adopted">): boolean {
  return sent || adopted === true;
}
