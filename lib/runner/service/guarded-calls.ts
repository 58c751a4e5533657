/**
 * How each call is guarded. A handler behind the guard gets the subject of the call, which the guard has resolved and
 * which its caller may speak about; it never sees a principal or the ids of the message.
 *
 * `guardOf` names a guard for every call of the service, so a new call does not compile without one.
 */
import type { RunnerServiceHandlers } from "../../rpc/index.js";
import type { AttemptId, MachineId } from "../../scheduler/ids.js";
import type { Attempt, AttemptsInQuestion } from "../state/attempts.js";

/** A machine that joins, and whose id is its caller's now. */
export interface JoiningMachine {
  readonly machine: MachineId;
}

/** Speaks for machines that have joined. */
export interface JoinedCaller {
  /** Tells callers apart; holds no secret. */
  readonly key: string;
  /** The attempts that run on its machines, as soon as it is known which of those they joined with do. */
  attempts(): Promise<AttemptsInQuestion>;
}

/** An attempt that may have ended; its machine is the caller's. */
export interface ReportedAttempt {
  readonly machine: MachineId;
  readonly id: AttemptId;
}

/** What calls are about, by the way in which they are guarded. */
export interface Subjects {
  /** Open to every caller that may connect. */
  readonly anybody: undefined;
  /** Claims a machine: one that belongs to another principal cannot be claimed. */
  readonly joining: JoiningMachine;
  /** The caller must have joined a machine. */
  readonly joined: JoinedCaller;
  /** The message must name a machine of the caller, and an attempt that runs on it. */
  readonly attempt: Attempt;
  /** The message must name a machine of the caller; undefined when the attempt does not run on it (any more). */
  readonly earlierAttempt: Attempt | undefined;
  /** The message must name a machine of the caller; its attempt may have ended. */
  readonly report: ReportedAttempt;
  /** An attempt for the derivation must run on a machine of the caller. */
  readonly log: Attempt;
}

/** The guard of each call. */
export const guardOf = {
  checkVersion: "anybody",
  openTunnel: "joining",
  buildStepUpdate: "earlierAttempt",
  fetchRequisites: "joined",
  hasPath: "joined",
  fetchPaths: "joined",
  buildLog: "log",
  buildResult: "joined",
  requestPresignedUrls: "attempt",
  requestMultipartParts: "attempt",
  notifyPresignedUploadComplete: "attempt",
  completeBuild: "report",
} as const satisfies Record<keyof RunnerServiceHandlers, keyof Subjects>;

/** A call of the service. */
export type Call = keyof RunnerServiceHandlers;

type Message<C extends Call> = Parameters<RunnerServiceHandlers[C]>[0];
type Context<C extends Call> = Parameters<RunnerServiceHandlers[C]>[1];
type WithoutIds<M> = M extends { readonly buildId: string } ? Omit<M, "buildId" | "machineId"> : M;

/** The handler of a call behind its guard. */
export type GuardedHandler<C extends Call> = (
  subject: Subjects[(typeof guardOf)[C]],
  message: WithoutIds<Message<C>>,
  context: C extends "openTunnel" ? Context<C> : Omit<Context<C>, "peer">,
) => ReturnType<RunnerServiceHandlers[C]>;

/** One handler for each call. */
export type GuardedHandlers = { readonly [C in Call]: GuardedHandler<C> };
