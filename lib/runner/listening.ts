/** The two servers of a runner: calls of builders, and the status API. */
import type { AddressInfo } from "node:net";
import type { QueueRunnerConfig } from "../config/types.js";
import type { Logger } from "../log.js";
import { cannotListen, checkTls, RunnerServer, type ServerTlsOptions } from "../rpc/index.js";
import { machineId } from "../scheduler/ids.js";
import {
  HostNames,
  type RunnerState,
  StatusRouter,
  StatusServer,
  type StatusSource,
} from "../status/index.js";
import type { RunnerParts } from "./assembly.js";
import type { QueueRunnerOptions } from "./options.js";
import { uploadModeOf } from "./outputs/upload-mode.js";
import { isOpenToEverybody } from "./service/open-port.js";
import { createRpcHandlers } from "./service/rpc-handlers.js";
import { onlyWhenActive } from "./service/state-guards.js";

/** What is served, and where. */
export interface RunnerListenersOptions
  extends Pick<QueueRunnerOptions, "store" | "rest" | "grpc" | "tls" | "version" | "onLog"> {
  /** Read at each use: a reload changes it. */
  readonly config: () => QueueRunnerConfig;
  readonly parts: RunnerParts;
  readonly source: StatusSource;
  readonly state: () => RunnerState;
  readonly logger: Logger;
}

/** Both servers; `open` once, `close` at the end, also when `open` failed. */
export class RunnerListeners {
  readonly #options: RunnerListenersOptions;
  #router: StatusRouter;
  #rest: StatusServer | undefined;
  #grpc: RunnerServer | undefined;

  constructor(options: RunnerListenersOptions) {
    this.#options = options;
    this.#router = makeRouter(options);
  }

  /** Where the status API listens. */
  get restAddress(): AddressInfo | string | undefined {
    return this.#rest?.address;
  }

  /** Where builders connect. */
  get grpcAddress(): AddressInfo | string | undefined {
    return this.#grpc?.addresses[0];
  }

  /** @throws UsageError for an address, a certificate or a token file that cannot be used */
  async open(): Promise<void> {
    const { rest, logger } = this.#options;
    this.#grpc = await startRpc(this.#options);
    // Last: what gets an answer here may rely on builders being able to join.
    if (rest !== undefined) {
      this.#rest = await StatusServer.listen({
        handler: (request, response) => this.#router.handle(request, response),
        listen: listenOptions(rest),
        logger: logger.child({}, "status"),
      }).catch((error: unknown) => {
        throw cannotListen(rest, error);
      });
    }
    this.#warnOfOpenPort();
  }

  /** @throws UsageError when one cannot be read; the old ones then stay in force */
  async reloadTokens(paths: QueueRunnerConfig["tokenPaths"]): Promise<void> {
    await this.#grpc?.reloadTokens(paths);
  }

  /** @throws UsageError for a certificate that `reload` could not use */
  checkTls(tls: ServerTlsOptions): void {
    checkTls(tls);
  }

  /** Takes a new certificate, one that `checkTls` has accepted, and the settings of the status API over. */
  reload(tls: ServerTlsOptions | undefined): void {
    if (tls !== undefined) this.#grpc?.reloadTls(tls);
    this.#router = makeRouter(this.#options);
  }

  /** Calls under way get a moment to end. */
  async close(): Promise<void> {
    await this.#grpc?.close({ graceMs: 1_000 });
    this.#router.close();
    await this.#rest?.close(500);
  }

  #warnOfOpenPort(): void {
    const { tls, logger } = this.#options;
    const tokens = this.#options.config().tokenPaths !== undefined;
    const clientCertificates = tls?.clientCa !== undefined;
    if (!isOpenToEverybody(this.grpcAddress, { tokens, clientCertificates })) return;
    logger.warn("anyone who can reach the port for builders can join; see docs/security.md", {
      grpc: this.grpcAddress,
    });
  }
}

function startRpc(options: RunnerListenersOptions): Promise<RunnerServer> {
  const { store, grpc, tls, config, parts, state } = options;
  const logger = options.logger.child({}, "rpc");
  const handlers = createRpcHandlers({
    ...parts,
    onLog: options.onLog,
    logger,
    ownVersion: () => config().protocolVersion,
    acceptedVersions: () => config().acceptedPeerVersions,
    tokensNameHosts: () => config().bindTokensToHosts,
    forcedSubstituters: () => (uploadModeOf(config()) === "from-builders" ? config().forcedSubstituters : []),
  });
  const isKnown = (machine: string): boolean => parts.scheduler.view.hasMachine(machineId(machine));
  return RunnerServer.start({
    handlers: onlyWhenActive(handlers, state, isKnown),
    storeDir: store.storeDir,
    listeners: [grpc],
    tls,
    tokenPaths: config().tokenPaths,
    logger,
    healthy: () => state() === "active",
  });
}

function makeRouter({ rest, version, config, source, parts, logger }: RunnerListenersOptions): StatusRouter {
  const { statusHosts, statusToken } = config();
  return new StatusRouter({
    hosts: new HostNames({ names: statusHosts, bound: rest?.kind === "tcp" ? rest.host : undefined }),
    source,
    metrics: parts.metrics,
    logger: logger.child({}, "status"),
    writeToken: statusToken?.reveal(),
    ...(version === undefined ? {} : { version }),
  });
}

function listenOptions(
  listener: QueueRunnerOptions["grpc"],
): { readonly fd: number } | { readonly host: string; readonly port: number } | { readonly path: string } {
  switch (listener.kind) {
    case "fd":
      return { fd: listener.fd };
    case "tcp":
      return { host: listener.host, port: listener.port };
    case "unix":
      return { path: listener.path };
  }
}
