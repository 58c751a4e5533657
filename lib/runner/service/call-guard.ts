/**
 * The one guard in front of all calls: it turns the principal and the message of a call into the machine or attempt that
 * the call is about, or refuses it.
 *
 * Nothing here looks at connections: a proxy may use another one for each call. What belongs to another principal is
 * refused in the same words as what does not exist.
 */
import type { StorePath } from "../../nix/path/store-path.js";
import {
  type BuilderJoin,
  type Principal,
  principalKey,
  principalOf,
  RpcError,
  type RunnerServiceHandlers,
} from "../../rpc/index.js";
import { attemptId, machineId } from "../../scheduler/ids.js";
import type { BuilderSessions } from "../attempt/builder-sessions.js";
import { type Attempt, type AttemptRegistry, isGiven } from "../state/attempts.js";
import type { MachineOwners } from "../state/machine-owners.js";
import type { GuardedHandlers, JoinedCaller, JoiningMachine, ReportedAttempt } from "./guarded-calls.js";

/** The ids in a message about an attempt, as the wire has them. */
interface AboutAttempt {
  readonly buildId: string;
  readonly machineId: string;
}

/** What the guard knows callers by. */
export interface CallGuardOptions {
  readonly owners: MachineOwners;
  readonly sessions: Pick<BuilderSessions, "whenSettled">;
  readonly attempts: AttemptRegistry;
}

/** Resolves what calls are about. Every method throws an `RpcError` when the caller may not make the call. */
export class CallGuard {
  readonly #owners: MachineOwners;
  readonly #sessions: CallGuardOptions["sessions"];
  readonly #attempts: AttemptRegistry;

  constructor({ owners, sessions, attempts }: CallGuardOptions) {
    this.#owners = owners;
    this.#sessions = sessions;
    this.#attempts = attempts;
  }

  /** @throws RpcError `already-exists` when the machine's id is in use by another caller or host */
  joining(principal: Principal, { machineId: id, hostname }: BuilderJoin): JoiningMachine {
    const machine = machineId(id);
    if (this.#owners.claim(machine, { principal, hostname })) return { machine };
    throw new RpcError("already-exists", "this machine id is in use by another builder; give each its own");
  }

  /** @throws RpcError `failed-precondition` for a caller without a machine */
  joined(principal: Principal): JoinedCaller {
    if (!this.#owners.hasMachines(principal)) {
      throw new RpcError("failed-precondition", "this call is answered only for builders that have joined");
    }
    return {
      key: principalKey(principal),
      attempts: async () => {
        await this.#sessions.whenSettled(
          (machine) => this.#owners.owns(principal, machine),
          () => true,
        );
        return {
          making: (path) => this.#givenTo(principal, this.#attempts.making(path)),
          count: () =>
            this.#owners
              .machinesOf(principal)
              .reduce((sum, machine) => sum + this.#attempts.countOn(machine), 0),
          all: () =>
            this.#owners
              .machinesOf(principal)
              .flatMap((machine) => this.#attempts.onMachine(machine).filter(isGiven)),
        };
      },
    };
  }

  /** @throws RpcError `failed-precondition` unless the attempt runs on that machine of the caller */
  async attempt(principal: Principal, about: AboutAttempt): Promise<Attempt> {
    const attempt = await this.earlierAttempt(principal, about);
    if (attempt === undefined) throw notRunning();
    return attempt;
  }

  /** @throws RpcError `failed-precondition` unless the machine is the caller's */
  async earlierAttempt(principal: Principal, about: AboutAttempt): Promise<Attempt | undefined> {
    const { machine, id } = await this.report(principal, about);
    return this.#attempts.of(machine, id);
  }

  /** @throws RpcError `failed-precondition` unless the machine is the caller's */
  async report(principal: Principal, about: AboutAttempt): Promise<ReportedAttempt> {
    const machine = machineId(about.machineId);
    if (!this.#owners.owns(principal, machine)) throw notRunning();
    await this.#sessions.whenSettled(
      (one) => one === machine,
      (build) => build.buildId === about.buildId,
    );
    const id = attemptId(about.buildId);
    if (this.#attempts.of(machine, id) !== undefined) this.#owners.reporting(machine);
    return { machine, id };
  }

  /** @throws RpcError `not-found` when no machine of the caller has an attempt for the derivation */
  async log(principal: Principal, drv: StorePath): Promise<Attempt> {
    await this.#sessions.whenSettled(
      (machine) => this.#owners.owns(principal, machine),
      (build) => build.drv === drv,
    );
    const [attempt] = this.#givenTo(principal, this.#attempts.forDerivation(drv));
    if (attempt !== undefined) return attempt;
    throw new RpcError("not-found", `no machine of this builder builds ${drv}`);
  }

  /** Those of the attempts that machines of the principal know of. */
  #givenTo(principal: Principal, attempts: readonly Attempt[]): readonly Attempt[] {
    return attempts.filter((one) => isGiven(one) && this.#owners.owns(principal, one.machine));
  }
}

function notRunning(): RpcError {
  return new RpcError("failed-precondition", "no such build runs on this machine");
}

/** The service, as the wire calls it: each call passes its guard before its handler sees it. */
export function guarded(guard: CallGuard, handlers: GuardedHandlers): RunnerServiceHandlers {
  return {
    checkVersion: (check, context) => handlers.checkVersion(undefined, check, context),
    openTunnel: async (join, tunnel) =>
      handlers.openTunnel(guard.joining(principalOf(tunnel), join), join, tunnel),
    buildStepUpdate: async ({ buildId, machineId, ...update }, context) => {
      const attempt = await guard.earlierAttempt(principalOf(context), { buildId, machineId });
      return handlers.buildStepUpdate(attempt, update, context);
    },
    fetchRequisites: async (paths, context) =>
      handlers.fetchRequisites(guard.joined(principalOf(context)), paths, context),
    hasPath: async (path, context) => handlers.hasPath(guard.joined(principalOf(context)), path, context),
    fetchPaths: async (paths, context) =>
      handlers.fetchPaths(guard.joined(principalOf(context)), paths, context),
    buildLog: async (log, context) =>
      handlers.buildLog(await guard.log(principalOf(context), log.drv), log, context),
    buildResult: async (stream, context) =>
      handlers.buildResult(guard.joined(principalOf(context)), stream, context),
    requestPresignedUrls: async ({ buildId, machineId, ...request }, context) => {
      const attempt = await guard.attempt(principalOf(context), { buildId, machineId });
      return handlers.requestPresignedUrls(attempt, request, context);
    },
    requestMultipartParts: async ({ buildId, machineId, ...request }, context) => {
      const attempt = await guard.attempt(principalOf(context), { buildId, machineId });
      return handlers.requestMultipartParts(attempt, request, context);
    },
    notifyPresignedUploadComplete: async ({ buildId, machineId, ...upload }, context) => {
      const attempt = await guard.attempt(principalOf(context), { buildId, machineId });
      return handlers.notifyPresignedUploadComplete(attempt, upload, context);
    },
    completeBuild: async ({ buildId, machineId, ...completion }, context) => {
      const report = await guard.report(principalOf(context), { buildId, machineId });
      return handlers.completeBuild(report, completion, context);
    },
  };
}
