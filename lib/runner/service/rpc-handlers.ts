/**
 * The runner's side of every call that builders make.
 *
 * Thin on purpose: what a call means lives in `Results`, `BuilderSessions`, `LogStore` and the store. What is decided
 * here is who may do what: a builder speaks for the machine that joined on its connection, and only about attempts that
 * this machine owns.
 */
import { stepBusy } from "../../database/status-numbers.js";
import type { Logger } from "../../log.js";
import type { StorePath, ValidPathInfo } from "../../nix/index.js";
import {
  type BuildCompletion,
  type BuilderJoin,
  decodeLog,
  type NarStream,
  packNars,
  RpcError,
  type RunnerServiceHandlers,
  type StepUpdate,
  unpackNars,
  type VersionAnswer,
  type VersionCheck,
} from "../../rpc/index.js";
import type { SchedulerApi } from "../../scheduler/api.js";
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

export interface RpcHandlersOptions {
  readonly store: RunnerStore;
  readonly scheduler: SchedulerApi;
  readonly attempts: AttemptRegistry;
  readonly sessions: BuilderSessions;
  readonly incoming: IncomingOutputs;
  readonly results: Results;
  readonly recorder: Recorder;
  readonly logs: RunnerEdges["logs"];
  readonly presigned: PresignedUploads;
  readonly counters: RunnerCounters;
  readonly logger: Logger;
  readonly now: () => number;
  readonly onChange: () => void;
  /** What `CheckVersion` answers as our own version. */
  readonly ownVersion: () => string;
  /** Version strings of builders that are welcome. */
  readonly acceptedVersions: () => readonly string[];
  /** Substituters every builder must use and announce; only with presigned uploads. */
  readonly forcedSubstituters: () => readonly string[];
  /** Whether the file of a builder's token must bear the builder's host name. */
  readonly tokensNameHosts: () => boolean;
}

export function createRpcHandlers(options: RpcHandlersOptions): RunnerServiceHandlers {
  const { store, scheduler, attempts, sessions, incoming, results, recorder, logs, presigned, counters } =
    options;
  return {
    checkVersion: (check) => Promise.resolve(answerVersion(options, check)),
    openTunnel: async (join, tunnel) => {
      refuseUnwanted(options, join);
      if (options.tokensNameHosts()) refuseStranger(join, tunnel.peer.token);
      await sessions.serve(join, tunnel);
    },
    buildStepUpdate: async (update) => {
      await decidedOn(update);
      takeUpdate(options, update);
    },
    fetchRequisites: async (paths, { signal }) =>
      (await store.closure(paths, { signal })).map((info) => info.path),
    hasPath: (path, { signal, peer }) => incoming.has(path, peer.machineIds, { signal }),
    fetchPaths: (paths, { signal }) => sendPaths(options, paths, signal),
    buildLog: async ({ drv, chunks }, { peer }) => {
      await sessions.decided(peer.machineIds, (build) => build.drv === drv);
      const owner = [...peer.machineIds]
        .map((id) => attempts.runs(machineId(id), drv))
        .find((found) => found);
      if (owner === undefined) throw new RpcError("not-found", `no machine of this builder builds ${drv}`);
      scheduler.acknowledged(owner.id, options.now());
      const writing = writeLog(owner, chunks);
      // The end of the attempt waits for its log, however the log ends.
      owner.log = writing.catch(() => {});
      await writing;
    },
    buildResult: async (stream, { signal, peer }) => {
      for await (const { info, nar } of unpackNars(stream)) {
        await incoming.take({ info, nar: counted(nar, counters) }, peer.machineIds, { signal });
      }
    },
    requestPresignedUrls: async (request) => {
      await decidedOn(request);
      return presigned.mint(request);
    },
    requestMultipartParts: async (request) => {
      await decidedOn(request);
      return presigned.moreParts(request);
    },
    notifyPresignedUploadComplete: async (upload) => {
      await decidedOn(upload);
      return presigned.complete(upload);
    },
    completeBuild: (completion) => complete(completion),
  };

  async function decidedOn(about: { readonly buildId: string; readonly machineId: string }): Promise<void> {
    await sessions.decided([about.machineId], (build) => build.buildId === about.buildId);
  }

  /** A log that was cut off comes again from its start. */
  async function writeLog(attempt: Attempt, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const again = attempt.log !== undefined || attempt.adopted === true;
    const writer = await logs.create(attempt.drv, again ? { since: attempt.startedAt } : {});
    try {
      for await (const chunk of decodeLog(chunks)) {
        counters.metrics.add("logBytes", chunk.length);
        await writer.write(chunk);
      }
    } finally {
      await writer.close();
    }
  }

  async function complete(completion: BuildCompletion): Promise<void> {
    const { buildId, machineId: machine, ...rest } = completion;
    await decidedOn(completion);
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

  function takeUpdate({ now, onChange }: RpcHandlersOptions, update: StepUpdate): void {
    const attempt = attempts.of(machineId(update.machineId), attemptId(update.buildId));
    if (attempt === undefined) return;
    scheduler.acknowledged(attempt.id, now());
    if (update.status === "receivingOutputs" || update.status === "postProcessing") {
      // The build is over: its slot may be used while the outputs are still on their way.
      scheduler.buildEnded(attempt.id, now());
      onChange();
    }
    recorder.stepBusy(attempt, stepBusy[update.status]);
  }
}

/** How we tell builders that can keep their builds that we take those over. Others look at `compatible` only. */
const resumeMark = "+resume";

function answerVersion(options: RpcHandlersOptions, check: VersionCheck): VersionAnswer {
  const serverVersion = options.ownVersion();
  const compatible = check.version === serverVersion || options.acceptedVersions().includes(check.version);
  if (!compatible) {
    options.logger.warn("builder of another version turned away", {
      hostname: check.hostname,
      version: check.version,
    });
    return { compatible, serverVersion };
  }
  const { storeDir } = options.store;
  if (check.storeDir !== storeDir) {
    throw new RpcError(
      "failed-precondition",
      `the runner's store is ${storeDir}, the builder's is ${check.storeDir}; they must be the same`,
    );
  }
  return { compatible, serverVersion: serverVersion + resumeMark };
}

function refuseUnwanted(options: RpcHandlersOptions, join: BuilderJoin): void {
  const missing = options.forcedSubstituters().filter((uri) => !join.substituters.includes(uri));
  if (options.forcedSubstituters().length === 0) return;
  if (!join.useSubstitutes) {
    throw new RpcError("invalid-argument", "this runner wants builders with useSubstitutes = true");
  }
  if (missing.length > 0) {
    throw new RpcError("invalid-argument", `the builder lacks the substituters ${missing.join(", ")}`);
  }
}

/** One stolen token must not speak for every machine. */
function refuseStranger({ hostname }: BuilderJoin, token: string | undefined): void {
  if (token !== undefined && token.replace(/\.token$/, "") === hostname) return;
  throw new RpcError("permission-denied", `this builder's token is not that of ${hostname}`);
}

async function sendPaths(
  options: RpcHandlersOptions,
  paths: readonly StorePath[],
  signal: AbortSignal,
): Promise<NarStream> {
  const { store, counters } = options;
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
