/**
 * Store paths that arrived from builders and that no report has proven yet.
 *
 * Such a path is valid for the Nix daemon, but the runner believes it only once an attempt that it arrived for has
 * reported success with the same contents. What an attempt leaves behind otherwise stays here until it is deleted, or
 * replaced by what the next attempt sends.
 */
import type { StorePath } from "../../nix/path/store-path.js";
import type { AttemptId } from "../../scheduler/ids.js";

/** Keeps the paths while there is no runner. */
export interface UnprovenMemory {
  /** Resolves when `paths` will be known to the next runner. Must not give up while that can still happen. */
  save(paths: () => readonly StorePath[], signal?: AbortSignal): Promise<void>;
}

/** For runners without a later one. */
const noMemory: UnprovenMemory = { save: () => Promise.resolve() };

/** `arriving` paths may be incomplete, or have the contents of an earlier attempt. */
type Claim = "arriving" | "arrived";

/** The unproven paths, and the attempts that they arrived for. */
export class UnprovenPaths {
  readonly #claims = new Map<StorePath, Map<AttemptId, Claim>>();
  /** Those that a later runner would know. */
  readonly #saved = new Set<StorePath>();
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
    for (const path of options.before ?? []) {
      this.#claims.set(path, new Map());
      this.#saved.add(path);
    }
    this.#memory = options.memory ?? noMemory;
    this.#background = options.background;
  }

  /** Whether only the attempts that it arrived for may believe the path. */
  has(path: StorePath): boolean {
    return this.#claims.has(path);
  }

  /** Whether the path arrived, in whole, for this attempt. */
  arrivedFor(path: StorePath, attempt: AttemptId): boolean {
    return this.#claims.get(path)?.get(attempt) === "arrived";
  }

  /** Whether an attempt that may still prove it claims the path. */
  isClaimed(path: StorePath): boolean {
    return (this.#claims.get(path)?.size ?? 0) > 0;
  }

  /** Whether the path arrived for this attempt, or is on its way. */
  claims(path: StorePath, attempt: AttemptId): boolean {
    return this.#claims.get(path)?.has(attempt) ?? false;
  }

  /** Paths that no attempt claims (any more). */
  leftBehind(): readonly StorePath[] {
    return [...this.#claims].flatMap(([path, claims]) => (claims.size === 0 ? [path] : []));
  }

  /** The path is unproven from now on; resolves when a later runner would know that, too. */
  async arriving(path: StorePath, attempts: readonly AttemptId[], signal?: AbortSignal): Promise<void> {
    const claims = this.#claims.get(path) ?? new Map<AttemptId, Claim>();
    for (const attempt of attempts) claims.set(attempt, "arriving");
    this.#claims.set(path, claims);
    // An earlier call may have given up, or still wait for the disk.
    if (this.#saved.has(path)) return;
    await this.#memory.save(() => [...this.#claims.keys()], signal);
    if (this.#claims.get(path) === claims) this.#saved.add(path);
  }

  /** The path has arrived. Attempts that ended meanwhile do not claim it. */
  arrived(path: StorePath, attempts: readonly AttemptId[]): void {
    const claims = this.#claims.get(path);
    for (const attempt of attempts) if (claims?.has(attempt) === true) claims.set(attempt, "arrived");
  }

  /** The attempt succeeded: `outputs` are proven, and so is everything that arrived for it but `unchecked`. */
  prove(attempt: AttemptId, outputs: Iterable<StorePath>, unchecked: ReadonlySet<StorePath>): void {
    const proven = new Set(outputs);
    for (const [path, claims] of this.#claims) {
      if (claims.get(attempt) === "arrived" && !unchecked.has(path)) proven.add(path);
    }
    this.forget(proven);
  }

  /** The paths are proven, or deleted. */
  forget(paths: Iterable<StorePath>): void {
    let changed = false;
    for (const path of paths) {
      changed = this.#claims.delete(path) || changed;
      this.#saved.delete(path);
    }
    if (changed) this.#background(() => this.#memory.save(() => [...this.#claims.keys()]));
  }

  /** The attempt is over: what it has not proven is left behind. */
  attemptOver(attempt: AttemptId): void {
    for (const claims of this.#claims.values()) claims.delete(attempt);
  }
}
