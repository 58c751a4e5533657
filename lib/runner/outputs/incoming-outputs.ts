/**
 * What builders send into the runner's store.
 *
 * A step may be executed twice, when its first builder was lost while sending or when some of its outputs were collected
 * since, and the second execution may give other contents. All outputs of a step come from one execution, so what is left
 * of an earlier one is replaced, and to builders it counts as missing.
 */

import type { StorePath } from "../../nix/path/store-path.js";
import type { CancelOptions } from "../../nix/store/store.js";
import type { UnpackedNar } from "../../rpc/index.js";
import type { Attempt } from "../state/attempts.js";
import type { RunnerStore } from "../state/runner-store.js";

/** Takes outputs from builders, and knows which of them are incomplete. */
export class IncomingOutputs {
  readonly #store: Pick<RunnerStore, "isValidPath" | "addToStoreNar">;
  /** Valid outputs of steps that are not complete. */
  readonly #leftBehind = new Set<StorePath>();

  constructor(store: Pick<RunnerStore, "isValidPath" | "addToStoreNar">) {
    this.#store = store;
  }

  /** These are valid although others of their step are not. */
  found(paths: Iterable<StorePath>): void {
    for (const path of paths) this.#leftBehind.add(path);
  }

  /** The step that these are the outputs of is complete. */
  complete(paths: Iterable<StorePath>): void {
    for (const path of paths) this.#leftBehind.delete(path);
  }

  /** Whether a builder that has these attempts need not send the path. */
  async has(path: StorePath, attempts: readonly Attempt[], options: CancelOptions): Promise<boolean> {
    if (this.#leftBehind.has(path) && isOutputOf(path, attempts)) return false;
    return this.#store.isValidPath(path, options);
  }

  /** Takes a path from a builder that has these attempts. @throws what the store and the stream throw */
  async take(
    { info, nar }: UnpackedNar,
    attempts: readonly Attempt[],
    options: CancelOptions,
  ): Promise<void> {
    const output = isOutputOf(info.path, attempts);
    const repair = output && this.#leftBehind.has(info.path);
    await this.#store.addToStoreNar(info, nar, { ...options, repair });
    if (output) this.#leftBehind.add(info.path);
  }
}

function isOutputOf(path: StorePath, attempts: readonly Attempt[]): boolean {
  return attempts.some(({ facts }) => {
    for (const output of facts.outputs.values()) if (output === path) return true;
    return false;
  });
}
