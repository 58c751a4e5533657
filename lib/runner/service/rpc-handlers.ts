/**
 * The runner's side of every call that builders make.
 *
 * Thin on purpose: what a call means is up to `Results`, `BuilderSessions`, `LogIntake` and the store. `admission.ts` says
 * who may join; `CallGuard` finds the machine or attempt that a call is about, and refuses calls about those of others.
 */
import { whenDescriptorsAreFree, withSignal } from "../../async/index.js";
import { lendingStream, lentPieces } from "../../compression/index.js";
import { stepBusy, stepStatus } from "../../database/status-numbers.js";
import type { StorePath, ValidPathInfo } from "../../nix/index.js";
import {
  type NarStream,
  packNars,
  RpcError,
  type RunnerServiceHandlers,
  type StepUpdate,
  unpackNars,
} from "../../rpc/index.js";
import type { BuilderSessions } from "../attempt/builder-sessions.js";
import type { Results } from "../attempt/results.js";
import type { StepEvents } from "../attempt/step-events.js";
import { RunnerError } from "../errors.js";
import type { IncomingOutputs } from "../outputs/arriving/incoming-outputs.js";
import { refuseTooLarge } from "../outputs/arriving/output-limits.js";
import type { RunnerEdges } from "../outputs/edges.js";
import type { PresignedUploads } from "../outputs/presigned/presigned-uploads.js";
import type { Recorder } from "../recording/recorder.js";
import type { Attempt, AttemptRegistry } from "../state/attempts.js";
import type { BuildReport } from "../state/build-report.js";
import type { RunnerCounters } from "../state/counters.js";
import type { MachineOwners } from "../state/machine-owners.js";
import type { RunnerStore } from "../state/runner-store.js";
import type { RunningScheduler } from "../state/running-scheduler.js";
import { type AdmissionRules, admit, answerVersion } from "./admission.js";
import { CallGuard, guarded } from "./call-guard.js";
import type { JoinedCaller } from "./guarded-calls.js";
import { LogIntake, type LogIntakeOptions } from "./log-intake.js";
import { receivedInPlace, sentInPlace, type TransferPlace, TransferPlaces } from "./transfer-places.js";

/** What calls are answered with. */
export interface RpcHandlersOptions extends AdmissionRules {
  readonly store: RunnerStore;
  readonly scheduler: RunningScheduler;
  readonly attempts: AttemptRegistry;
  readonly owners: MachineOwners;
  readonly sessions: BuilderSessions;
  readonly incoming: IncomingOutputs;
  readonly results: Results;
  readonly stepEvents: StepEvents;
  readonly recorder: Recorder;
  readonly logs: RunnerEdges["logs"];
  readonly uploads: Pick<RunnerEdges["uploads"], "stage" | "openFrame">;
  readonly presigned: PresignedUploads;
  readonly counters: RunnerCounters;
  /** Gets every log; see `RunnerSinks`. */
  readonly onLog?: LogIntakeOptions["onLog"];
}

/** Paths in one question: the largest closures have a fraction of that, and all are walked in one turn. */
const mostPaths = 50_000;

/**
 * Uploads of one principal that may wait for a place: so many for each attempt that its machines run, so that all of a large
 * farm behind one token can, and some besides, as an attempt that has ended may still be sending. Each holds as much as the
 * window of its stream.
 */
const waitingUploadsOfAttempt = 2;
const waitingUploadsBesides = 16;

/** One handler for each call, behind its guard. */
export function createRpcHandlers(options: RpcHandlersOptions): RunnerServiceHandlers {
  const { store, scheduler, sessions, incoming, presigned, counters } = options;
  const logIntake = new LogIntake({
    logs: options.logs,
    counters,
    onLog: options.onLog,
    logger: options.logger,
    onTooLong: (attempt) => endForItsLog(options, attempt),
  });
  const places = new TransferPlaces({ isShared: () => options.owners.isShared });
  return guarded(new CallGuard(options), {
    checkVersion: (_, check) => Promise.resolve(answerVersion(options, check)),
    openTunnel: async (_, join, tunnel) => {
      admit(options, join, tunnel.peer.token);
      await sessions.serve(join, tunnel);
    },
    buildStepUpdate: (attempt, update) => {
      if (attempt !== undefined) takeUpdate(options, attempt, update);
      return Promise.resolve();
    },
    fetchRequisites: async (_, paths, { signal }) => {
      refuseTooMany(paths);
      const closure = await whenDescriptorsAreFree(() => store.closure(paths, { signal }), { signal });
      return closure.map((info) => info.path);
    },
    hasPath: async (caller, path, { signal }) => incoming.has(path, await caller.attempts(), { signal }),
    fetchPaths: async (caller, paths, { signal }) => {
      refuseTooMany(paths);
      return sendPaths(options, places, caller, paths, signal);
    },
    buildLog: async (attempt, { chunks }) => {
      scheduler.acknowledged(attempt.id);
      await logIntake.receive(attempt, chunks);
    },
    buildResult: async (caller, stream, { signal }) => {
      const attempts = await caller.attempts();
      for (const info of stream.infos) refuseTooLarge(info, attempts.making(info.path));
      using place = await places.take(
        caller.key,
        signal,
        () => waitingUploadsBesides + waitingUploadsOfAttempt * attempts.count(),
      );
      await withSignal(receivePaths(options, place, caller, stream, signal), place.signal);
    },
    requestPresignedUrls: (attempt, { requests }) => presigned.mint(attempt, requests),
    requestMultipartParts: (attempt, request) => presigned.moreParts(attempt, request),
    notifyPresignedUploadComplete: async (attempt, upload) => {
      refuseTooLarge(upload.narInfo, [attempt]);
      await presigned.complete(attempt, upload);
    },
    completeBuild: ({ machine, id }, { ignoredLines, ...completion }) => {
      if (ignoredLines !== undefined) noteIgnored(options, id, ignoredLines);
      return takeReport(options, { ...completion, machine, attempt: id });
    },
  });
}

/** @throws RpcError `out-of-range` */
function refuseTooMany(paths: readonly StorePath[]): void {
  if (paths.length <= mostPaths) return;
  throw new RpcError("out-of-range", `${paths.length} paths in one question, more than ${mostPaths}`);
}

function takeUpdate(
  { scheduler, recorder, stepEvents }: RpcHandlersOptions,
  attempt: Attempt,
  { status }: Pick<StepUpdate, "status">,
): void {
  scheduler.acknowledged(attempt.id);
  if (status === "receivingOutputs" || status === "postProcessing") {
    // The build is over: its slot may be used while the outputs are still on their way.
    scheduler.buildEnded(attempt.id);
  }
  recorder.stepBusy(attempt, stepBusy[status]);
  stepEvents.progress(attempt, status);
}

/** The builder should have stopped the build long ago. */
async function endForItsLog(
  { sessions, attempts, results }: RpcHandlersOptions,
  attempt: Attempt,
): Promise<void> {
  if (attempts.get(attempt.id) !== attempt || attempt.endedAt !== undefined) return;
  const reason = `the log exceeds the limit of ${attempt.limits.maxLogSize} bytes`;
  sessions.send(attempt.machine, { kind: "abort", buildId: attempt.id });
  await results.end(attempt, { kind: "failed", status: stepStatus.logLimitExceeded, reason }, reason);
}

/** The step's log names the lines; a report about them may come after the runner has forgotten the attempt. */
function noteIgnored({ attempts, logger }: RpcHandlersOptions, id: Attempt["id"], notes: number): void {
  const attempt = attempts.get(id);
  if (attempt === undefined) return;
  const { drv, hostname } = attempt;
  logger.warn("lines in nix-support were ignored, see the end of the step's log", { drv, hostname, notes });
}

async function takeReport({ results, counters }: RpcHandlersOptions, report: BuildReport): Promise<void> {
  try {
    await results.report(report);
  } catch (error) {
    if (error instanceof RunnerError && error.code === "not-owner") {
      counters.metrics.add("staleReports");
      throw new RpcError("failed-precondition", error.message, { cause: error });
    }
    throw error;
  }
}

async function receivePaths(
  { incoming, uploads, counters }: RpcHandlersOptions,
  place: TransferPlace,
  caller: JoinedCaller,
  stream: NarStream,
  signal: AbortSignal,
): Promise<void> {
  const { infos } = stream;
  const received = { infos, chunks: receivedInPlace(place, lentPieces(stream.chunks)) };
  const staged = uploads.stage(received, await caller.attempts());
  let arrived = false;
  try {
    const chunks = staged?.chunks ?? received.chunks;
    for await (const { info, nar } of unpackNars({ infos, chunks }, { pieces: "lent" })) {
      const path = { info, nar: counted(staged?.pass(nar) ?? nar, counters) };
      await incoming.take(path, await caller.attempts(), { signal });
    }
    arrived = true;
  } finally {
    staged?.over(arrived);
  }
}

async function sendPaths(
  options: RpcHandlersOptions,
  places: TransferPlaces,
  caller: JoinedCaller,
  paths: readonly StorePath[],
  signal: AbortSignal,
): Promise<NarStream> {
  const { store, counters } = options;
  const found = await whenDescriptorsAreFree(() => store.queryPathInfos(paths, { signal }), { signal });
  const infos = paths.map((path): ValidPathInfo => {
    const info = found.get(path);
    if (info === undefined) throw new RpcError("not-found", `${path} is not valid in the runner's store`);
    return info;
  });
  counters.metrics.add(
    "narBytesSent",
    infos.reduce((sum, info) => sum + info.narSize, 0),
  );
  const givenUp = new AbortController();
  async function* chunks(): AsyncGenerator<Uint8Array> {
    using place = await places.take(caller.key, signal);
    place.signal.addEventListener("abort", () => givenUp.abort(place.signal.reason), { once: true });
    yield* sentInPlace(place, await packed(options, infos, signal));
  }
  return { infos, chunks: lendingStream(chunks), givenUp: givenUp.signal };
}

/** A single path may lie in a cache just as it is sent. */
async function packed(
  { store, uploads }: RpcHandlersOptions,
  infos: readonly ValidPathInfo[],
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const [only, ...others] = infos;
  const frame = only === undefined || others.length > 0 ? undefined : await uploads.openFrame(only, signal);
  if (frame !== undefined) return lentPieces(frame);
  const made = packNars(infos, ({ path }) =>
    onceOpen(() => store.narFromPath(path, { signal, pieces: "lent" }), signal),
  );
  return lentPieces(made.chunks);
}

/** A stream that waits for the descriptor that it begins with. */
async function* onceOpen(
  open: () => AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const begin = async () => {
    const pieces = open()[Symbol.asyncIterator]();
    return { pieces, first: await pieces.next() };
  };
  const { pieces, first } = await whenDescriptorsAreFree(begin, { signal });
  try {
    for (let next = first; next.done !== true; next = await pieces.next()) yield next.value;
  } finally {
    await pieces.return?.();
  }
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
