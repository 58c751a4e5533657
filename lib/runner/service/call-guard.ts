/**
 * Which attempt a call is about, and whether its sender owns it. Every call about an attempt passes through here before
 * anything else.
 */
import type { StorePath } from "../../nix/path/store-path.js";
import { RpcError } from "../../rpc/index.js";
import { attemptId, machineId } from "../../scheduler/ids.js";
import type { BuilderSessions } from "../attempt/builder-sessions.js";
import type { Attempt, AttemptRegistry } from "../state/attempts.js";

/** The ids in a message about an attempt, as the wire has them. */
export interface AboutAttempt {
  readonly buildId: string;
  readonly machineId: string;
}

/** Finds the attempts that calls are about. */
export class CallGuard {
  readonly #sessions: BuilderSessions;
  readonly #attempts: AttemptRegistry;

  constructor(sessions: BuilderSessions, attempts: AttemptRegistry) {
    this.#sessions = sessions;
    this.#attempts = attempts;
  }

  /** Waits until a build that its builder came with is adopted or refused; at once for all other builds. */
  async settled(about: AboutAttempt): Promise<void> {
    await this.#sessions.whenSettled([about.machineId], (build) => build.buildId === about.buildId);
  }

  /** The attempt of a machine; undefined when it is not (or no longer) one of that machine. */
  async attemptOf(about: AboutAttempt): Promise<Attempt | undefined> {
    await this.settled(about);
    return this.#attempts.of(machineId(about.machineId), attemptId(about.buildId));
  }

  /**
   * The attempt for `drv` of one of the machines; only its log may be written.
   *
   * @throws RpcError `not-found` when none of them has one
   */
  async logOwner(machines: ReadonlySet<string>, drv: StorePath): Promise<Attempt> {
    await this.#sessions.whenSettled(machines, (build) => build.drv === drv);
    for (const id of machines) {
      const owner = this.#attempts.runs(machineId(id), drv);
      if (owner !== undefined) return owner;
    }
    throw new RpcError("not-found", `no machine of this builder builds ${drv}`);
  }
}
