/**
 * The runner contract in domain types: what a server's handlers get and give, and what a builder's client offers.
 *
 * Ids (`buildId`, `machineId`) are UUIDs in canonical lower-case text. Sizes are bytes, thresholds and free space
 * percent, times what the name says. `undefined` means the field was absent on the wire.
 */

import type { NarInfo } from "../nix/cache/nar-info.js";
import type { BasicDerivation } from "../nix/derivation/derivation.js";
import type { Hash } from "../nix/path/hash.js";
import type { StorePath } from "../nix/path/store-path.js";
import type { ValidPathInfo } from "../nix/store/path-info.js";
import type { Principal } from "./principal.js";

// ── Joining ────────────────────────────────────────────────────────────────────────────────────────────────────

/** What a builder says before it joins. */
export interface VersionCheck {
  readonly version: string;
  /** As sent; only good for a log line. */
  readonly machineId: string;
  readonly hostname: string;
  readonly storeDir: string;
}

/** Whether the runner takes builders of that version. */
export interface VersionAnswer {
  readonly compatible: boolean;
  readonly serverVersion: string;
}

/** A build that a builder kept going while it had no runner. */
export interface RunningBuild {
  readonly buildId: string;
  readonly drv: StorePath;
  /** Milliseconds since the build order came. */
  readonly ageMs: number;
}

/** What a builder reports about itself. Numbers are finite and not negative. */
export interface BuilderJoin {
  readonly machineId: string;
  readonly systems: readonly string[];
  readonly hostname: string;
  readonly cpuCount: number;
  readonly bogomips: number;
  readonly speedFactor: number;
  readonly maxJobs: number;
  readonly buildDirAvailThreshold: number;
  readonly storeAvailThreshold: number;
  readonly load1Threshold: number;
  readonly cpuPsiThreshold: number;
  readonly memPsiThreshold: number;
  readonly ioPsiThreshold: number | undefined;
  readonly totalMem: number;
  readonly supportedFeatures: readonly string[];
  readonly mandatoryFeatures: readonly string[];
  readonly cgroups: boolean;
  readonly substituters: readonly string[];
  readonly useSubstitutes: boolean;
  readonly nixVersion: string;
  /**
   * Builds in progress, of a builder that can keep them going without a runner. It travels as metadata of the call, so
   * peers that know nothing of it are not disturbed; undefined for builders that abort all work with their tunnel.
   */
  readonly running?: readonly RunningBuild[] | undefined;
}

/** Linux pressure stall information: averages in percent, `total` in microseconds. */
export interface Pressure {
  readonly avg10: number;
  readonly avg60: number;
  readonly avg300: number;
  readonly total: number;
}

/** Pressure by resource; `some`: at least one task waits, `full`: all do. */
export interface PressureState {
  readonly cpuSome: Pressure | undefined;
  readonly memSome: Pressure | undefined;
  readonly memFull: Pressure | undefined;
  readonly ioSome: Pressure | undefined;
  readonly ioFull: Pressure | undefined;
  readonly irqFull: Pressure | undefined;
}

/** The state of a machine, sent every few seconds. Load averages, bytes of memory, free space in percent. */
export interface BuilderPing {
  readonly machineId: string;
  readonly load1: number;
  readonly load5: number;
  readonly load15: number;
  readonly memUsage: number;
  readonly pressure: PressureState | undefined;
  readonly buildDirFreePercent: number;
  readonly storeFreePercent: number;
  readonly currentSubstitutingPathCount: number;
  readonly currentUploadingPathCount: number;
  readonly currentDownloadingPathCount: number;
  /** Why the Nix daemon of the machine does not work at present; absent when it works, and from builders that do not report it. */
  readonly storeTrouble?: string | undefined;
}

// ── Orders down the tunnel ─────────────────────────────────────────────────────────────────────────────────────

/** The order to build one derivation. */
export interface BuildOrder {
  /** A new UUID for each attempt. */
  readonly buildId: string;
  readonly drv: StorePath;
  /** The derivation with its inputs resolved. Undefined only when an odd runner left it out. */
  readonly derivation: BasicDerivation | undefined;
  /** Bytes of log text. */
  readonly maxLogSize: number;
  /** Seconds. */
  readonly maxSilentTime: number;
  /** Seconds. */
  readonly buildTimeout: number;
  /** Bytes of NAR per output; 0 = no limit. */
  readonly maxOutputSize: number;
  /** Present: upload with presigned URLs; absent: stream to the runner. */
  readonly presigned: { readonly uploadDebugInfo: boolean } | undefined;
  /** W3C `traceparent` to trace the build in; absent when the runner does not trace, and from runners that cannot. */
  readonly traceparent?: string | undefined;
}

/** What a runner sends down a tunnel. */
export type RunnerOrder =
  | { readonly kind: "joinResponse"; readonly machineId: string; readonly maxConcurrentDownloads: number }
  | { readonly kind: "configUpdate"; readonly maxConcurrentDownloads: number }
  | { readonly kind: "ping"; readonly message: string }
  | { readonly kind: "build"; readonly build: BuildOrder }
  | { readonly kind: "abort"; readonly buildId: string };

// ── Builds ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** What a running build does. */
export type StepStatus =
  | "preparing"
  | "connecting"
  | "sendingInputs"
  | "building"
  | "waitingForLocalSlot"
  | "receivingOutputs"
  | "postProcessing";

/** The report that a running build entered another phase. */
export interface StepUpdate {
  readonly buildId: string;
  readonly machineId: string;
  readonly status: StepStatus;
}

/**
 * How a build ended. Only `buildFailure`, `timedOut`, `logLimit` and `narSizeLimit` say something about the
 * derivation.
 */
export type BuildState =
  | "success"
  | "buildFailure"
  | "preparingFailure"
  | "importFailure"
  | "uploadFailure"
  | "postProcessingFailure"
  | "timedOut"
  | "logLimit"
  | "narSizeLimit";

/** One line of `nix-support/hydra-build-products`. */
export interface BuildProduct {
  readonly type: string;
  readonly subtype: string;
  /** Store path the product lies in. */
  readonly storePath: StorePath;
  /** Path below it, without leading slash; empty for the store path itself. */
  readonly subPath: string;
  readonly name: string;
  readonly defaultPath: string;
  readonly isRegular: boolean;
  /** 64 lower-case hex digits. */
  readonly sha256: string | undefined;
  readonly fileSize: number | undefined;
}

/** One line of `nix-support/hydra-metrics`. */
export interface BuildMetric {
  readonly name: string;
  readonly unit: string | undefined;
  readonly value: number;
}

/** What an output's `nix-support` folder says about the build. */
export interface NixSupport {
  readonly failed: boolean;
  readonly releaseName: string | undefined;
  readonly products: readonly BuildProduct[];
  readonly metrics: readonly BuildMetric[];
}

/** One output of a build that succeeded. */
export interface BuiltOutput {
  readonly path: StorePath;
  readonly narSize: number;
  /** Sum of the NAR sizes of the output's closure. */
  readonly closureSize: number;
  readonly narHash: Hash | undefined;
  readonly nixSupport: NixSupport | undefined;
}

/**
 * What a builder of ours knows of a failure beyond its state.
 *
 * - `transient`: the derivation's own script failed, but it may well work another time
 * - `daemon`, `untrusted`, `diskFull`, `inputs`, `sandbox`: what is wrong with the machine
 * - `other`: nothing that says anything about the machine
 */
export type FailureCause = "transient" | "daemon" | "untrusted" | "diskFull" | "inputs" | "sandbox" | "other";

/** What a build used, as its builder measured it. Every number is absent when it could not be measured. */
export interface BuildResources {
  /**
   * Who measured: the Nix daemon, the build's control group, or samples of its processes. Where numbers come from
   * several, the least exact of them, which is the last of these.
   */
  readonly source: "daemon" | "cgroup" | "samples";
  /** Milliseconds of all processors together. */
  readonly cpuUserMs?: number;
  readonly cpuSystemMs?: number;
  /** Of all processes of the build at one time. */
  readonly peakMemoryBytes?: number;
  /** From and to disks; what the page cache had is not in it. */
  readonly readBytes?: number;
  readonly writtenBytes?: number;
}

/** The outcome of a build, with the milliseconds that each phase took. */
export interface BuildCompletion {
  readonly buildId: string;
  readonly machineId: string;
  readonly state: BuildState;
  readonly importMs: number;
  readonly buildMs: number;
  readonly uploadMs: number;
  /** By output name; empty unless `state` is `success`. */
  readonly outputs: ReadonlyMap<string, BuiltOutput>;
  readonly error: string | undefined;
  /** Travels as metadata of the call; absent on a success, and from builders that do not say it. */
  readonly cause?: FailureCause | undefined;
  /** Travels as metadata of the call; absent when nothing was measured, and from builders that do not measure. */
  readonly resources?: BuildResources | undefined;
  /**
   * Notes about ignored `nix-support` lines at the end of the log. Travels as metadata of the call; absent where there
   * are none, and from builders that do not say it.
   */
  readonly ignoredLines?: number | undefined;
  /** Of the builder's own span, as W3C `traceparent`. Travels as metadata of the call; absent when it does not trace. */
  readonly traceparent?: string | undefined;
}

// ── Presigned uploads ──────────────────────────────────────────────────────────────────────────────────────────

/** A NAR that a builder wants to upload itself. */
export interface PresignedNarRequest {
  readonly path: StorePath;
  readonly narHash: Hash;
  readonly narSize: number;
  readonly debugInfoBuildIds: readonly string[];
}

/** The NARs of one build that need upload URLs. */
export interface PresignedUrlsRequest {
  readonly buildId: string;
  readonly machineId: string;
  readonly requests: readonly PresignedNarRequest[];
}

/** The URL that one part is uploaded to. */
export interface MultipartPart {
  /** From 1. */
  readonly partNumber: number;
  readonly url: string;
}

/** How one object is uploaded: in one request to `url`, or in parts. */
export interface PresignedUpload {
  /** Object key. */
  readonly path: string;
  readonly url: string;
  readonly compression: string;
  readonly compressionLevel: number;
  readonly multipart:
    | { readonly uploadId: string; readonly partSize: number; readonly parts: readonly MultipartPart[] }
    | undefined;
}

/** The uploads that belong to one NAR. */
export interface PresignedNar {
  readonly path: StorePath;
  /** The `URL` of the narinfo. */
  readonly narUrl: string;
  readonly narUpload: PresignedUpload;
  readonly lsUpload: PresignedUpload | undefined;
  readonly debugInfoUploads: readonly PresignedUpload[];
  /** To be echoed in the calls about this upload. */
  readonly bucket: string | undefined;
}

/** A request for the URLs of `numParts` parts from `startPartNumber`. */
export interface MultipartPartsRequest {
  readonly buildId: string;
  readonly machineId: string;
  readonly objectKey: string;
  readonly uploadId: string;
  readonly startPartNumber: number;
  readonly numParts: number;
  readonly bucket: string | undefined;
}

/** The parts of an upload, to be put together. */
export interface MultipartCompletion {
  readonly objectKey: string;
  readonly uploadId: string;
  readonly parts: readonly { readonly partNumber: number; readonly etag: string }[];
}

/** The report that a NAR was uploaded, with the narinfo to sign and publish. */
export interface PresignedUploadComplete {
  readonly buildId: string;
  readonly machineId: string;
  readonly narInfo: NarInfo;
  readonly multipart: MultipartCompletion | undefined;
  readonly narAlreadyPresent: boolean;
  readonly bucket: string | undefined;
}

// ── Store paths on the move ────────────────────────────────────────────────────────────────────────────────────

/** Path infos, references first, and one zstd frame of their NARs one after the other in the same order. */
export interface NarStream {
  readonly infos: readonly ValidPathInfo[];
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Aborts when its sender gives it up, also while the receiver does not take what has been sent. Default: it does not. */
  readonly givenUp?: AbortSignal | undefined;
}

// ── Server side ────────────────────────────────────────────────────────────────────────────────────────────────

/** Who is calling, and over which HTTP/2 connection. Decide by the principal: proxies mix and split connections. */
export interface Peer {
  /** Unique within the process. */
  readonly connectionId: number;
  /** Address for log lines. */
  readonly address: string;
  /** File name (without folder) of the token the call came with; undefined without token check. */
  readonly token: string | undefined;
  /** The party that the call is answered for; see `principalOf`. */
  readonly principal: Principal;
  /** Machines with an open tunnel of this principal, over whichever connection, as of now. */
  readonly machineIds: ReadonlySet<string>;
}

/** What a handler knows of a call beside its message. */
export interface CallContext {
  readonly peer: Peer;
  /** Fires when the call is cancelled, its connection lost or the server closed. */
  readonly signal: AbortSignal;
}

/** The runner's end of one tunnel. */
export interface TunnelConnection {
  readonly peer: Peer;
  /** Pings of the builder; ends when the builder leaves, throws `RpcError` when the tunnel breaks. Read it once. */
  readonly messages: AsyncIterable<BuilderPing>;
  /**
   * Queues an order without waiting. False when the tunnel is closed or the builder reads so slowly that the queue is
   * full; a full queue closes the tunnel.
   */
  send(order: RunnerOrder): boolean;
  /** Ends the tunnel: what is queued is dropped. */
  close(reason: string): void;
  /** Resolves with the reason once the tunnel is over, on either side's initiative. */
  readonly closed: Promise<string>;
  readonly signal: AbortSignal;
}

/**
 * What a runner does for each call. Throw `RpcError` to choose the status; anything else becomes INTERNAL.
 *
 * Arguments are validated: UUIDs, store paths, hashes and numbers are what their types say.
 */
export interface RunnerServiceHandlers {
  checkVersion(check: VersionCheck, context: CallContext): Promise<VersionAnswer>;
  /** Serves one tunnel; it is closed when the promise settles. A rejection before the first `send` refuses the join. */
  openTunnel(join: BuilderJoin, tunnel: TunnelConnection): Promise<void>;
  buildStepUpdate(update: StepUpdate, context: CallContext): Promise<void>;
  /** Closure of the paths in the runner's store, references before referrers. */
  fetchRequisites(paths: readonly StorePath[], context: CallContext): Promise<readonly StorePath[]>;
  hasPath(path: StorePath, context: CallContext): Promise<boolean>;
  /** `chunks` is iterated with backpressure and returned early when the caller goes away. */
  fetchPaths(paths: readonly StorePath[], context: CallContext): Promise<NarStream>;
  /** `chunks` is one zstd frame of log text. It throws `RpcError` when the upload breaks off. */
  buildLog(
    log: { readonly drv: StorePath; readonly chunks: AsyncIterable<Uint8Array> },
    context: CallContext,
  ): Promise<void>;
  /** Resolves when all paths are valid. `chunks` throws `RpcError` when the upload breaks off. */
  buildResult(stream: NarStream, context: CallContext): Promise<void>;
  requestPresignedUrls(request: PresignedUrlsRequest, context: CallContext): Promise<readonly PresignedNar[]>;
  requestMultipartParts(
    request: MultipartPartsRequest,
    context: CallContext,
  ): Promise<readonly MultipartPart[]>;
  notifyPresignedUploadComplete(upload: PresignedUploadComplete, context: CallContext): Promise<void>;
  completeBuild(completion: BuildCompletion, context: CallContext): Promise<void>;
}

// ── Builder side ───────────────────────────────────────────────────────────────────────────────────────────────

/** The builder's end of the tunnel. */
export interface BuilderTunnel {
  /** Orders of the runner; ends when the runner closes the tunnel, throws `RpcError` when it breaks. Read it once. */
  readonly orders: AsyncIterable<RunnerOrder>;
  /** Queues a ping without waiting; replaces one that was not yet sent. */
  sendPing(ping: BuilderPing): void;
  /** Leaves: the call is cancelled. */
  close(): void;
  /** Resolves with the reason once the tunnel is over. */
  readonly closed: Promise<string>;
}

/** What ends a call early. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds; default none. */
  readonly timeoutMs?: number | undefined;
}

/** The calls of a builder. All reject with `RpcError`. */
export interface RunnerApi {
  checkVersion(check: VersionCheck, options?: CallOptions): Promise<VersionAnswer>;
  /** Resolves when the runner has taken the join. */
  openTunnel(join: BuilderJoin, options?: CallOptions): Promise<BuilderTunnel>;
  buildStepUpdate(update: StepUpdate, options?: CallOptions): Promise<void>;
  fetchRequisites(paths: readonly StorePath[], options?: CallOptions): Promise<readonly StorePath[]>;
  hasPath(path: StorePath, options?: CallOptions): Promise<boolean>;
  /** Resolves with the header. Leaving `chunks` early cancels the call. */
  fetchPaths(paths: readonly StorePath[], options?: CallOptions): Promise<NarStream>;
  /** Sends one zstd frame of log text; resolves when the runner has it. */
  buildLog(drv: StorePath, chunks: AsyncIterable<Uint8Array>, options?: CallOptions): Promise<void>;
  buildResult(stream: NarStream, options?: CallOptions): Promise<void>;
  /** Retried. */
  requestPresignedUrls(
    request: PresignedUrlsRequest,
    options?: CallOptions,
  ): Promise<readonly PresignedNar[]>;
  /** Retried. */
  requestMultipartParts(
    request: MultipartPartsRequest,
    options?: CallOptions,
  ): Promise<readonly MultipartPart[]>;
  /** Retried. */
  notifyPresignedUploadComplete(upload: PresignedUploadComplete, options?: CallOptions): Promise<void>;
  /** Retried. */
  completeBuild(completion: BuildCompletion, options?: CallOptions): Promise<void>;
  close(): Promise<void>;
}
