/**
 * Stores other than our binary caches (`ssh://host`, `/folder`): Nix itself copies the outputs there.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Logger } from "../../../log.js";
import { printStorePath, type StorePath } from "../../../nix/path/store-path.js";
import type { RunnerStore } from "../../state/runner-store.js";

const run = promisify(execFile);
const timeoutMs = 60 * 60_000;

/** One store that `nix copy` writes into. */
export class NixCopy {
  readonly #options: { readonly target: string; readonly store: RunnerStore; readonly logger: Logger };
  /** One copy at a time: they would wait for the same locks. */
  #last: Promise<void> = Promise.resolve();

  constructor(options: { readonly target: string; readonly store: RunnerStore; readonly logger: Logger }) {
    this.#options = options;
  }

  /** Never rejects: what could not be copied is logged, as the outputs are safe in the runner's own store. */
  copy(paths: readonly StorePath[]): Promise<void> {
    this.#last = this.#last.then(() => this.#copy(paths));
    return this.#last;
  }

  async #copy(paths: readonly StorePath[]): Promise<void> {
    const { target, store, logger } = this.#options;
    const full = paths.map((path) => printStorePath(store.storeDir, path));
    const from = process.env.NIX_REMOTE;
    const args = [
      ...["--extra-experimental-features", "nix-command", "copy", "--no-check-sigs", "--to", target],
      ...["--from", from === undefined || from === "" ? "daemon" : from],
      ...full,
    ];
    try {
      await run("nix", args, { timeout: timeoutMs, maxBuffer: 1 << 24 });
    } catch (error) {
      logger.error("outputs could not be copied", {
        target: target.split("?")[0],
        paths: full.length,
        error,
      });
    }
  }
}
