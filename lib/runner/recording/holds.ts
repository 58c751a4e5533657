/**
 * What is under way to the database: builds, which the queue monitor leaves alone until they have arrived, and ends of steps,
 * which arrive before the builds that were decided after them.
 */
import { atMost } from "../../async/index.js";
import type { BuildId } from "../../scheduler/ids.js";
import type { Attempt } from "../state/attempts.js";
import { Groups } from "../state/groups.js";

/** Counts holds of builds. */
export class Holds {
  readonly #counts = new Map<BuildId, number>();
  /** These were asked for while they were held. */
  readonly #missed = new Set<BuildId>();

  hold(builds: readonly BuildId[]): void {
    for (const build of builds) this.#counts.set(build, (this.#counts.get(build) ?? 0) + 1);
  }

  /** Undoes one `hold` of the same builds. Returns those that are free now and were asked for meanwhile. */
  release(builds: readonly BuildId[]): BuildId[] {
    const missed: BuildId[] = [];
    for (const build of builds) {
      const left = (this.#counts.get(build) ?? 0) - 1;
      if (left > 0) this.#counts.set(build, left);
      else {
        this.#counts.delete(build);
        if (this.#missed.delete(build)) missed.push(build);
      }
    }
    return missed;
  }

  /** Whether the build is to be left alone; `release` then returns it when it is free again. */
  has(build: BuildId): boolean {
    if (!this.#counts.has(build)) return false;
    this.#missed.add(build);
    return true;
  }
}

interface ExpectedEnd {
  /** Counts all of them. */
  readonly number: number;
  readonly recorded: Promise<void>;
  /** The same, or that its time is up. */
  awaited: Promise<void> | undefined;
}

/**
 * Ends of steps that are not recorded yet. A build may be decided while the log or the outputs of a step below it are still
 * dealt with: readers of the database should not see a build that is finished with a step that runs, and a runner that is killed
 * in between would leave that step behind as aborted.
 */
export class ExpectedEnds {
  readonly #patienceMs: number;
  readonly #numbers = new Map<Attempt["id"], number>();
  /** By the build that the row belongs to. */
  readonly #ends = new Groups<BuildId, ExpectedEnd>();
  #last = 0;

  /** `patienceMs`: how long a build waits for one of them. */
  constructor(patienceMs: number) {
    this.#patienceMs = patienceMs;
  }

  /** The end of the attempt will be recorded; call the result once it is. */
  add({ id, assignment: { build } }: Attempt): () => void {
    let onRecorded = (): void => undefined;
    const recorded = new Promise<void>((resolve) => {
      onRecorded = resolve;
    });
    this.#last += 1;
    const end: ExpectedEnd = { number: this.#last, recorded, awaited: undefined };
    this.#numbers.set(id, end.number);
    this.#ends.add(build, end);
    return () => {
      this.#numbers.delete(id);
      this.#ends.delete(build, end);
      onRecorded();
    };
  }

  /**
   * What builds that `attempt` decides have to wait for: ends that were added before its own, so that none wait for each
   * other; all of them when it has none.
   */
  before(attempt: Attempt | undefined, builds: readonly BuildId[]): Promise<void>[] {
    const own = (attempt && this.#numbers.get(attempt.id)) ?? Number.POSITIVE_INFINITY;
    const earlier: Promise<void>[] = [];
    for (const build of builds) {
      for (const end of this.#ends.get(build)) {
        if (end.number >= own) continue;
        end.awaited ??= atMost(end.recorded, this.#patienceMs);
        earlier.push(end.awaited);
      }
    }
    return earlier;
  }
}
