/**
 * The runner's side of every call that builders make.
 *
 * Thin on purpose: what a call means is up to `Results`, `BuilderSessions`, `LogIntake` and the store. `admission.ts` says
 * who may join, `CallGuard` which attempts a builder may speak about.
 */
import { stepBusy } from "../../database/status-numbers.js";
import type { StorePath, ValidPathInfo } from "../../nix/index.js";
import {
  type BuildCompletion,
  type NarStream,
  packNars,
  RpcError,
  type RunnerServiceHandlers,
  type StepUpdate,
  unpackNars,
} from "../../rpc/index.js";
import { attemptId, machineId } from "../../scheduler/ids.js";
import type { BuilderSessions } from "../attempt/builder-sessions.js";
import type { Results } from "../attempt/results.js";
import { RunnerError } from "../errors.js";
import type { RunnerEdges } from "../outputs/edges.js";
import type { IncomingOutputs } from "../outputs/incoming-outputs.js";
import type { PresignedUploads } from "../outputs/presigned-uploads.js";
import type { Recorder } from "../recording/recorder.js";
import type { Attempt, AttemptRegistry } from "../state/attempts.js";
import type { RunnerCounters } from "../state/counters.js";
import type { RunnerStore } from "../state/runner-store.js";
import type { RunningScheduler } from "../state/running-scheduler.js";
import { type AdmissionRules, admit, answerVersion } from "./admission.js";
import { CallGuard } from "./call-guard.js";
import { LogIntake } from "./log-intake.js";

/** What calls are answered with. */
export interface RpcHandlersOptions extends AdmissionRules {
  readonly store: RunnerStore;
  readonly scheduler: RunningScheduler;
  readonly attempts: AttemptRegistry;
  readonly sessions: BuilderSessions;
  readonly incoming: IncomingOutputs;
  readonly results: Results;
  readonly recorder: Recorder;
  readonly logs: RunnerEdges["logs"];
  readonly presigned: PresignedUploads;
  readonly counters: RunnerCounters;
}

/** One handler for each call. */
export function createRpcHandlers(options: RpcHandlersOptions): RunnerServiceHandlers {
  const { store, scheduler, sessions, incoming, presigned, counters } = options;
  const guard = new CallGuard(sessions, options.attempts);
  const logIntake = new LogIntake(options.logs, counters);
  return {
    checkVersion: (check) => Promise.resolve(answerVersion(options, check)),
    openTunnel: async (join, tunnel) => {
      admit(options, join, tunnel.peer.token);
      await sessions.serve(join, tunnel);
    },
    buildStepUpdate: async (update) => {
      const attempt = await guard.attemptOf(update);
      if (attempt !== undefined) takeUpdate(options, attempt, update);
    },
    fetchRequisites: async (paths, { signal }) =>
      (await store.closure(paths, { signal })).map((info) => info.path),
    hasPath: (path, { signal, peer }) => incoming.has(path, peer.machineIds, { signal }),
    fetchPaths: (paths, { signal }) => sendPaths(options, paths, signal),
    buildLog: async ({ drv, chunks }, { peer }) => {
      const owner = await guard.logOwner(peer.machineIds, drv);
      scheduler.acknowledged(owner.id);
      await logIntake.receive(owner, chunks);
    },
    buildResult: async (stream, { signal, peer }) => {
      for await (const { info, nar } of unpackNars(stream)) {
        await incoming.take({ info, nar: counted(nar, counters) }, peer.machineIds, { signal });
      }
    },
    requestPresignedUrls: async (request) => {
      await guard.settled(request);
      return presigned.mint(request);
    },
    requestMultipartParts: async (request) => {
      await guard.settled(request);
      return presigned.moreParts(request);
    },
    notifyPresignedUploadComplete: async (upload) => {
      await guard.settled(upload);
      return presigned.complete(upload);
    },
    completeBuild: async (completion) => {
      await guard.settled(completion);
      await takeCompletion(options, completion);
    },
  };
}

function takeUpdate({ scheduler, recorder }: RpcHandlersOptions, attempt: Attempt, update: StepUpdate): void {
  scheduler.acknowledged(attempt.id);
  if (update.status === "receivingOutputs" || update.status === "postProcessing") {
    // The build is over: its slot may be used while the outputs are still on their way.
    scheduler.buildEnded(attempt.id);
  }
  recorder.stepBusy(attempt, stepBusy[update.status]);
}

async function takeCompletion(
  { results, counters }: RpcHandlersOptions,
  completion: BuildCompletion,
): Promise<void> {
  const { buildId, machineId: machine, ...rest } = completion;
  try {
    await results.report({ ...rest, attempt: attemptId(buildId), machine: machineId(machine) });
  } catch (error) {
    if (error instanceof RunnerError && error.code === "not-owner") {
      counters.metrics.add("staleReports");
      throw new RpcError("failed-precondition", error.message, { cause: error });
    }
    throw error;
  }
}

async function sendPaths(
  { store, counters }: RpcHandlersOptions,
  paths: readonly StorePath[],
  signal: AbortSignal,
): Promise<NarStream> {
  const found = await store.queryPathInfos(paths, { signal });
  const infos = paths.map((path): ValidPathInfo => {
    const info = found.get(path);
    if (info === undefined) throw new RpcError("not-found", `${path} is not valid in the runner's store`);
    return info;
  });
  counters.metrics.add(
    "narBytesSent",
    infos.reduce((sum, info) => sum + info.narSize, 0),
  );
  return packNars(infos, (info) => store.narFromPath(info.path, { signal }));
}

async function* counted(
  stream: AsyncIterable<Uint8Array>,
  counters: RunnerCounters,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of stream) {
    counters.metrics.add("narBytesReceived", chunk.length);
    yield chunk;
  }
}
