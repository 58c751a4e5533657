/**
 * The builder's client of a runner: one HTTP/2 connection, opened at the first call.
 *
 * Single-message calls and the tunnel go through the gRPC library, bulk calls through the codec of `../stream`.
 */

import type { CallOptions as LibraryOptions } from "@connectrpc/connect";
import { aLogger, anObject, aText, checkMembers, optional } from "../../argument-checks.js";
import { MadeOnce } from "../../async/index.js";
import { type Logger, silentLogger } from "../../log.js";
import type { StoreDir, StorePath } from "../../nix/path/store-path.js";
import { RpcError, UnprocessedCallError } from "../errors.js";
import type { AddToStoreHeader } from "../gen/runner/v1/streaming_pb.js";
import { servicePath } from "../stream/index.js";
import type * as api from "../types.js";
import type { BulkChannel } from "./bulk-stream.js";
import { CallScope } from "./call-scope.js";
import type { ClientTunnel } from "./client-tunnel.js";
import { ClientConnection } from "./connection.js";
import { download } from "./download.js";
import { type ClientTlsOptions, parseEndpoint } from "./endpoint.js";
import { retried } from "./retry.js";
import type { ServiceClient } from "./service.js";
import { upload } from "./upload.js";

/** Where the runner is, and how to talk to it. */
export interface RunnerClientOptions {
  /** `http://host:port`, `https://host:port`, `unix://<path>` or the path of a Unix socket. */
  readonly endpoint: string;
  /** Logical store directory, written into path infos. Default `/nix/store`. */
  readonly storeDir?: StoreDir | undefined;
  /** Bearer token, without surrounding white space. */
  readonly token?: string | undefined;
  readonly tls?: ClientTlsOptions | undefined;
  readonly logger?: Logger | undefined;
  /** Bytes in flight per stream. Default 4 MiB. */
  readonly streamWindow?: number | undefined;
  /** Bytes in flight per connection. Default 16 MiB. */
  readonly connectionWindow?: number | undefined;
  /** Default 20 s. */
  readonly connectTimeoutMs?: number | undefined;
  /** Default 20 s. */
  readonly keepaliveIntervalMs?: number | undefined;
  /** Default 20 s. */
  readonly keepaliveTimeoutMs?: number | undefined;
  /** Milliseconds before each further try of the calls that are retried. Default 3, 6 and 12 s, plus up to half. */
  readonly retryDelaysMs?: readonly number[] | undefined;
  readonly random?: (() => number) | undefined;
}

/** How often one call is made again because it was not processed: proxies may close connections in a row. */
const maxUnprocessed = 20;
const mebibyte = 1024 * 1024;

type Service = typeof import("./service.js");
type LoadedService = Service & { readonly client: ServiceClient };

/** Makes a client; nothing is sent before its first call. @throws UsageError for an endpoint that is none */
export function connectRunner(options: RunnerClientOptions): RunnerClient {
  return new RunnerClient(options);
}

/**
 * A client of one runner. All calls reject with `RpcError`; `unavailable` means that the connection is lost
 * and another client is needed.
 */
export class RunnerClient implements api.RunnerApi, AsyncDisposable {
  readonly #options: RunnerClientOptions;
  readonly #logger: Logger;
  readonly #storeDir: StoreDir;
  readonly #connection: ClientConnection;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #service = new MadeOnce(async (): Promise<LoadedService> => {
    const service = await import("./service.js");
    return { ...service, client: service.createServiceClient(this.#connection) };
  });
  readonly #bulk: BulkChannel;
  readonly #tunnels = new Set<ClientTunnel>();

  constructor(options: RunnerClientOptions) {
    checkMembers("RunnerClient", options, {
      endpoint: aText,
      storeDir: optional(aText),
      token: optional(aText),
      tls: optional(anObject),
      logger: optional(aLogger),
    });
    const { token, logger = silentLogger } = options;
    const endpoint = parseEndpoint(options.endpoint, options.tls);
    this.#options = options;
    this.#logger = logger;
    this.#storeDir = options.storeDir ?? ("/nix/store" as StoreDir);
    this.#headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    this.#connection = new ClientConnection({
      endpoint,
      streamWindow: options.streamWindow ?? 4 * mebibyte,
      connectionWindow: options.connectionWindow ?? 16 * mebibyte,
      connectTimeoutMs: options.connectTimeoutMs ?? 20_000,
      keepaliveIntervalMs: options.keepaliveIntervalMs ?? 20_000,
      keepaliveTimeoutMs: options.keepaliveTimeoutMs ?? 20_000,
      hasTunnel: () => this.#tunnels.size > 0,
      logger,
    });
    this.#bulk = {
      connection: this.#connection,
      headers: {
        te: "trailers",
        "content-type": "application/grpc",
        "user-agent": "hydra-builder",
        ...this.#headers,
      },
      pathOf: (method) => `${servicePath}${method}`,
    };
  }

  /**
   * Asks whether the runner takes builders of our version. @throws RpcError `failed-precondition` when the
   * store directories differ
   */
  async checkVersion(check: api.VersionCheck, options?: api.CallOptions): Promise<api.VersionAnswer> {
    const { client, create, wire } = await this.#service.get();
    const request = create(wire.VersionCheckRequestSchema, check);
    const { compatible, serverVersion } = await this.#call(
      (library) => client.checkVersion(request, library),
      options,
    );
    return { compatible, serverVersion };
  }

  /**
   * Joins; resolves when the runner has taken the join. `timeoutMs` bounds the joining, `signal` the tunnel.
   * @throws RpcError with the runner's reason when it refuses
   */
  async openTunnel(join: api.BuilderJoin, options: api.CallOptions = {}): Promise<api.BuilderTunnel> {
    const { callError, client, ClientTunnel, convert } = await this.#service.get();
    const message = convert.joinToWire(join);
    const headers = new Headers(this.#headers);
    if (join.running !== undefined) {
      headers.set(convert.runningBuildsHeader, convert.runningBuildsToHeader(join.running));
    }
    const tunnel = new ClientTunnel({
      logger: this.#logger,
      errorOf: (thrown) => callError(thrown, this.#connection, scope.signal),
      onUnreadableBuild: (buildId, error) => this.#refuseBuild(buildId, join.machineId, error),
    });
    // Only joining has a deadline; the caller's signal counts for the life of the tunnel.
    const joining = new CallScope({ timeoutMs: options.timeoutMs });
    const scope = new CallScope({ signal: AbortSignal.any([joining.signal, ...signals(options)]) });
    const onAbort = (): void => tunnel.close();
    scope.signal.addEventListener("abort", onAbort, { once: true });
    this.#tunnels.add(tunnel);
    void tunnel.closed.then(() => {
      this.#tunnels.delete(tunnel);
      joining.end();
      scope.end();
    });
    try {
      scope.signal.throwIfAborted();
      await tunnel.join(client.openTunnel(tunnel.requests(message), { headers, signal: tunnel.signal }));
      joining.end();
      return tunnel;
    } catch (error) {
      tunnel.close();
      if (joining.signal.aborted) throw RpcError.from(joining.signal.reason);
      throw RpcError.from(error);
    }
  }

  /** Reports what a running build does. Not retried. @throws RpcError */
  async buildStepUpdate(update: api.StepUpdate, options?: api.CallOptions): Promise<void> {
    const { client, convert } = await this.#service.get();
    const request = convert.stepUpdateToWire(update);
    await this.#call((library) => client.buildStepUpdate(request, library), options);
  }

  /** The closure of the paths in the runner's store, references before referrers. @throws RpcError */
  async fetchRequisites(
    paths: readonly StorePath[],
    options?: api.CallOptions,
  ): Promise<readonly StorePath[]> {
    const { client, convert, create, StorePathsSchema } = await this.#service.get();
    const request = create(StorePathsSchema, { paths: paths.map(convert.storePathToWire) });
    const answer = await this.#call((library) => client.fetchRequisites(request, library), options);
    return convert.storePathsFromWire(answer.requisites, "requisites");
  }

  /** Whether the runner's store has a path, so that it need not be sent. @throws RpcError */
  async hasPath(path: StorePath, options?: api.CallOptions): Promise<boolean> {
    const { client, convert } = await this.#service.get();
    const request = convert.storePathToWire(path);
    return (await this.#call((library) => client.hasPath(request, library), options)).hasPath;
  }

  /**
   * Downloads NARs. Resolves with their path infos; leaving `chunks` early cancels the call. @throws RpcError
   */
  async fetchPaths(paths: readonly StorePath[], options?: api.CallOptions): Promise<api.NarStream> {
    const { convert, create, StorePathsSchema, toBinary, ...service } = await this.#service.get();
    const request = create(StorePathsSchema, { paths: paths.map(convert.storePathToWire) });
    const { head, chunks } = await download(
      this.#bulk,
      "FetchPaths",
      toBinary(StorePathsSchema, request),
      options,
    );
    const { pathInfos } = decodeHeader(service, head);
    return {
      infos: pathInfos.map((info, index) => convert.pathInfoFromWire(info, `path_infos[${index}]`)),
      chunks,
    };
  }

  /** Sends the log of a build, one zstd frame; resolves when the runner has all of it. @throws RpcError */
  async buildLog(
    drv: StorePath,
    chunks: AsyncIterable<Uint8Array>,
    options?: api.CallOptions,
  ): Promise<void> {
    const { convert, create, toBinary, wire } = await this.#service.get();
    const head = toBinary(
      wire.LogChunkSchema,
      create(wire.LogChunkSchema, { drv: convert.storePathToWire(drv) }),
    );
    await upload(this.#bulk, { method: "BuildLog", head, chunks }, options);
  }

  /** Uploads NARs; resolves when all paths are valid in the runner's store. @throws RpcError */
  async buildResult({ infos, chunks }: api.NarStream, options?: api.CallOptions): Promise<void> {
    const { convert, create, toBinary, wire } = await this.#service.get();
    const value = create(wire.AddToStoreHeaderSchema, {
      pathInfos: infos.map((info) => convert.pathInfoToWire(this.#storeDir, info)),
    });
    const first = toBinary(
      wire.AddToStoreRequestSchema,
      create(wire.AddToStoreRequestSchema, { content: { case: "header", value } }),
    );
    await upload(this.#bulk, { method: "BuildResult", first, chunks }, options);
  }

  /** Asks for the URLs to upload NARs with. Retried. @throws RpcError of the last try */
  async requestPresignedUrls(
    request: api.PresignedUrlsRequest,
    options?: api.CallOptions,
  ): Promise<readonly api.PresignedNar[]> {
    const { client, convert } = await this.#service.get();
    const message = convert.presignedRequestToWire(request);
    return this.#retried(
      "RequestPresignedUrl",
      async (library) => convert.presignedNarsFromWire(await client.requestPresignedUrl(message, library)),
      options,
    );
  }

  /** Asks for the URLs of further parts. Retried. @throws RpcError of the last try */
  async requestMultipartParts(
    request: api.MultipartPartsRequest,
    options?: api.CallOptions,
  ): Promise<readonly api.MultipartPart[]> {
    const { client, convert } = await this.#service.get();
    const message = convert.partsRequestToWire(request);
    return this.#retried(
      "RequestMultipartParts",
      async (library) => convert.partsFromWire((await client.requestMultipartParts(message, library)).parts),
      options,
    );
  }

  /** Reports that a NAR is in the cache. Retried. @throws RpcError of the last try */
  async notifyPresignedUploadComplete(
    uploaded: api.PresignedUploadComplete,
    options?: api.CallOptions,
  ): Promise<void> {
    const { client, convert } = await this.#service.get();
    const message = convert.uploadCompleteToWire(this.#storeDir, uploaded);
    await this.#retried(
      "NotifyPresignedUploadComplete",
      (library) => client.notifyPresignedUploadComplete(message, library),
      options,
    );
  }

  /** Reports the outcome of a build. Retried. @throws RpcError of the last try */
  async completeBuild(completion: api.BuildCompletion, options?: api.CallOptions): Promise<void> {
    const { client, convert } = await this.#service.get();
    const message = convert.completionToWire(completion);
    const { cause, ignoredLines, resources } = completion;
    const traceparent = convert.traceparentOf(completion.traceparent);
    const headers = {
      ...this.#headers,
      ...(cause === undefined ? {} : { [convert.failureCauseHeader]: convert.failureCauseToHeader(cause) }),
      ...(resources === undefined ? {} : { [convert.resourcesHeader]: convert.resourcesToHeader(resources) }),
      ...(traceparent === undefined ? {} : { [convert.traceparentHeader]: traceparent }),
      ...(ignoredLines === undefined ? {} : { [convert.ignoredLinesHeader]: String(ignoredLines) }),
    };
    await this.#retried(
      "CompleteBuild",
      (library) => client.completeBuild(message, { ...library, headers }),
      options,
    );
  }

  /** Ends the connection at once; what is still running ends with `unavailable`. */
  async close(): Promise<void> {
    for (const tunnel of this.#tunnels) tunnel.close();
    await this.#connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #call<T>(run: (library: LibraryOptions) => Promise<T>, options: api.CallOptions = {}): Promise<T> {
    for (let unprocessed = 0; ; unprocessed++) {
      try {
        return await this.#callOnce(run, options);
      } catch (error) {
        if (!(error instanceof UnprocessedCallError) || unprocessed === maxUnprocessed) throw error;
      }
    }
  }

  async #callOnce<T>(run: (library: LibraryOptions) => Promise<T>, options: api.CallOptions): Promise<T> {
    const scope = new CallScope(options);
    const { timeoutMs } = options;
    try {
      scope.signal.throwIfAborted();
      return await run({
        headers: this.#headers,
        signal: scope.signal,
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
      });
    } catch (error) {
      const { callError } = await this.#service.get();
      throw await callError(error, this.#connection, scope.signal);
    } finally {
      scope.end();
    }
  }

  #retried<T>(
    method: string,
    run: (library: LibraryOptions) => Promise<T>,
    options: api.CallOptions | undefined,
  ): Promise<T> {
    return retried(() => this.#call(run, options), {
      delaysMs: this.#options.retryDelaysMs ?? [3_000, 6_000, 12_000],
      random: this.#options.random ?? Math.random,
      signal: options?.signal,
      worthwhile: () => this.#connection.lost === undefined,
      onRetry: (error, delayMs) =>
        this.#logger.warn("call is tried again", { method, error, delayMs: Math.round(delayMs) }),
    });
  }

  /** The build would otherwise wait indefinitely. */
  #refuseBuild(buildId: string, machineId: string, error: RpcError): void {
    this.completeBuild({
      buildId,
      machineId,
      state: "preparingFailure",
      importMs: 0,
      buildMs: 0,
      uploadMs: 0,
      outputs: new Map(),
      error: `the build order cannot be read: ${error.message}`,
    }).catch((failure: unknown) => {
      this.#logger.warn("an unreadable build could not be refused", { buildId, error: failure });
    });
  }
}

function signals(options: api.CallOptions): AbortSignal[] {
  return options.signal === undefined ? [] : [options.signal];
}

function decodeHeader(
  { fromBinary, wire }: Pick<Service, "fromBinary" | "wire">,
  bytes: Uint8Array,
): AddToStoreHeader {
  try {
    return fromBinary(wire.AddToStoreHeaderSchema, bytes);
  } catch (cause) {
    throw new RpcError("internal", "undecodable header of store paths", { cause });
  }
}
