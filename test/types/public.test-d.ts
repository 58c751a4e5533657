/**
 * What the types of the entrances promise. The type check is the test: nothing here runs.
 */
import { HydraError, type QueueRunnerOptions, UsageError } from "hydra-runner";
import { BinaryCacheError, type Presence } from "hydra-runner/binary-cache";
import { DatabaseError, type HydraDatabase } from "hydra-runner/database";
import {
  DaemonError,
  type Hash,
  NixFormatError,
  type parseHash,
  type Store,
  type StorePath,
} from "hydra-runner/nix";
import type {
  AttemptId,
  AttemptOutcome,
  BuildId,
  Completion,
  Effect,
  MachineId,
  Scheduler,
  StepId,
  WhyNotRunning,
} from "hydra-runner/scheduler";
import { expectTypeOf } from "vitest";

// Identifiers are brands: a plain value, or an identifier of another kind, is not accepted.
expectTypeOf<string>().not.toExtend<StorePath>();
expectTypeOf<StorePath>().toExtend<string>();
expectTypeOf<string>().not.toExtend<StepId>();
expectTypeOf<number>().not.toExtend<BuildId>();
expectTypeOf<StepId>().not.toExtend<MachineId>();
expectTypeOf<AttemptId>().not.toExtend<StepId>();
expectTypeOf<StorePath>().not.toExtend<StepId>();

// Presence has three values, and "unknown" is one of them.
expectTypeOf<Presence>().toEqualTypeOf<"present" | "absent" | "unknown">();

// What can happen is a union with `kind` or `code` as its discriminant, so that a switch over it can be exhaustive.
expectTypeOf<Completion["kind"]>().toEqualTypeOf<"stale" | "finished" | "failed" | "retry" | "cancelled">();
expectTypeOf<AttemptOutcome>().toHaveProperty("kind");
expectTypeOf<AttemptOutcome["kind"]>().not.toEqualTypeOf<string>();
expectTypeOf<Effect["kind"]>().not.toEqualTypeOf<string>();
expectTypeOf<WhyNotRunning["code"]>().not.toEqualTypeOf<string>();

// Every error has the one root and a closed set of codes.
for (const error of [UsageError, BinaryCacheError, DatabaseError, DaemonError, NixFormatError]) {
  expectTypeOf(error.prototype).toExtend<HydraError>();
  expectTypeOf(error.prototype.code).not.toEqualTypeOf<string>();
}
expectTypeOf(UsageError.prototype.code).toEqualTypeOf<"usage" | "config" | "secret-file">();
expectTypeOf(HydraError.prototype).toExtend<Error>();

// Time and chance are arguments of the scheduler.
expectTypeOf<Scheduler["assign"]>().parameters.toEqualTypeOf<
  [number, (step: StepId, machine: MachineId) => AttemptId, (number | undefined)?]
>();
expectTypeOf<Scheduler["complete"]>().returns.toEqualTypeOf<Completion>();
expectTypeOf<Scheduler["nextEventAt"]>().returns.toEqualTypeOf<number | undefined>();

// Lists that are handed in are never changed: read-only arrays are accepted.
expectTypeOf<readonly StorePath[]>().toExtend<Parameters<Store["queryPathInfos"]>[0]>();
expectTypeOf<readonly string[]>().toExtend<Parameters<HydraDatabase["failedPaths"]>[0]>();
expectTypeOf<typeof parseHash>().returns.toEqualTypeOf<Hash>();

// What holds connections can be written with `await using`.
expectTypeOf<Store>().toExtend<AsyncDisposable>();
expectTypeOf<HydraDatabase>().toExtend<AsyncDisposable>();

// Options that may be left out may also be undefined; the others must be given.
expectTypeOf<Pick<QueueRunnerOptions, "config" | "store" | "grpc">>().toExtend<QueueRunnerOptions>();
expectTypeOf<{ readonly tls: undefined }>().toExtend<Pick<QueueRunnerOptions, "tls">>();
