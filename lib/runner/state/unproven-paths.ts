/**
 * Store paths that arrived from builders and that no report has proven yet.
 *
 * Such a path is valid for the Nix daemon, but the runner believes it only once an attempt that it arrived for has
 * reported success with the same contents. What an attempt leaves behind otherwise stays here until it is deleted, or
 * replaced by what the next attempt sends.
 */
import type { StorePath } from "../../nix/path/store-path.js";
import type { AttemptId } from "../../scheduler/ids.js";
import { Groups } from "./groups.js";

/** Keeps the paths while there is no runner. */
export interface UnprovenMemory {
  /** Resolves when `paths` will be known to the next runner. Must not give up while that can still happen. */
  save(paths: () => readonly StorePath[], signal?: AbortSignal): Promise<void>;
}

/** For runners without a later one. */
const noMemory: UnprovenMemory = { save: () => Promise.resolve() };

/** `arriving` paths may be incomplete, or have the contents of an earlier attempt. */
type Claim = "arriving" | "arrived";

/** What is known of an unproven path. */
interface Unproven {
  readonly claims: Map<AttemptId, Claim>;
  /** A later runner would know it. */
  isSaved: boolean;
}

/** The unproven paths, and the attempts that they arrived for. */
export class UnprovenPaths {
  readonly #paths = new Map<StorePath, Unproven>();
  /** The paths that each attempt claims: all of them are many on a large farm. */
  readonly #claimed = new Groups<AttemptId, StorePath>();
  readonly #memory: UnprovenMemory;
  readonly #background: (work: () => Promise<void>) => void;

  /**
   * @param before what an earlier runner left
   * @param memory default: none
   * @param background runs work that nothing waits for
   */
  constructor(options: {
    readonly before?: Iterable<StorePath> | undefined;
    readonly memory?: UnprovenMemory | undefined;
    readonly background: (work: () => Promise<void>) => void;
  }) {
    for (const path of options.before ?? []) this.#paths.set(path, { claims: new Map(), isSaved: true });
    this.#memory = options.memory ?? noMemory;
    this.#background = options.background;
  }

  /** Whether only the attempts that it arrived for may believe the path. */
  has(path: StorePath): boolean {
    return this.#paths.has(path);
  }

  /** Whether the path arrived, in whole, for this attempt. */
  arrivedFor(path: StorePath, attempt: AttemptId): boolean {
    return this.#paths.get(path)?.claims.get(attempt) === "arrived";
  }

  /** Whether an attempt that may still prove it claims the path. */
  isClaimed(path: StorePath): boolean {
    return (this.#paths.get(path)?.claims.size ?? 0) > 0;
  }

  /** Whether the path arrived for this attempt, or is on its way. */
  claims(path: StorePath, attempt: AttemptId): boolean {
    return this.#paths.get(path)?.claims.has(attempt) ?? false;
  }

  /** Paths that no attempt claims (any more). */
  leftBehind(): readonly StorePath[] {
    return [...this.#paths].flatMap(([path, { claims }]) => (claims.size === 0 ? [path] : []));
  }

  /** The path is unproven from now on; resolves when a later runner would know that, too. */
  async arriving(path: StorePath, attempts: readonly AttemptId[], signal?: AbortSignal): Promise<void> {
    const unproven = this.#paths.get(path) ?? { claims: new Map<AttemptId, Claim>(), isSaved: false };
    for (const attempt of attempts) {
      unproven.claims.set(attempt, "arriving");
      this.#claimed.add(attempt, path);
    }
    this.#paths.set(path, unproven);
    // An earlier call may have given up, or still wait for the disk.
    if (unproven.isSaved) return;
    await this.#memory.save(() => [...this.#paths.keys()], signal);
    unproven.isSaved = true;
  }

  /** The path has arrived. Attempts that ended meanwhile do not claim it. */
  arrived(path: StorePath, attempts: readonly AttemptId[]): void {
    const claims = this.#paths.get(path)?.claims;
    for (const attempt of attempts) if (claims?.has(attempt) === true) claims.set(attempt, "arrived");
  }

  /** The attempt succeeded: `outputs` are proven, and so is everything that arrived for it but `unchecked`. */
  prove(attempt: AttemptId, outputs: Iterable<StorePath>, unchecked: ReadonlySet<StorePath>): void {
    const proven = new Set(outputs);
    for (const path of this.#claimed.get(attempt)) {
      if (this.arrivedFor(path, attempt) && !unchecked.has(path)) proven.add(path);
    }
    this.forget(proven);
  }

  /** The paths are proven, or deleted. */
  forget(paths: Iterable<StorePath>): void {
    let changed = false;
    for (const path of paths) {
      for (const attempt of this.#paths.get(path)?.claims.keys() ?? []) this.#claimed.delete(attempt, path);
      changed = this.#paths.delete(path) || changed;
    }
    if (changed) this.#background(() => this.#memory.save(() => [...this.#paths.keys()]));
  }

  /** The attempt is over: what it has not proven is left behind. */
  attemptOver(attempt: AttemptId): void {
    for (const path of this.#claimed.get(attempt)) this.#paths.get(path)?.claims.delete(attempt);
    this.#claimed.clear(attempt);
  }
}
