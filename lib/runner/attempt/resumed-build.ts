/** A build that its builder brought along when it joined, and whose attempt is not known here. */
import type { RunningBuild } from "../../rpc/types.js";

/**
 * `unmatched`: no step is known that it could be an attempt of. `adopting`: it has become an attempt, whose row is being
 * written. `settled`: it is an attempt like any other, or it was aborted because it is not wanted.
 */
export type ResumedState = "unmatched" | "adopting" | "settled";

/** Goes through its states in order; each of them may be the last but one. */
export class ResumedBuild {
  readonly build: RunningBuild;
  /** Resolves when the build is settled. */
  readonly whenSettled: Promise<void>;
  #state: ResumedState = "unmatched";
  #resolve: () => void = () => {};

  constructor(build: RunningBuild) {
    this.build = build;
    this.whenSettled = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  get state(): ResumedState {
    return this.#state;
  }

  adopting(): void {
    if (this.#state === "unmatched") this.#state = "adopting";
  }

  settle(): void {
    this.#state = "settled";
    this.#resolve();
  }
}
