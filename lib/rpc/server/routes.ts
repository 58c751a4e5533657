/** The calls that carry single messages and the tunnel: conversions around the handlers, errors into statuses. */

import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import { pause } from "../../async/index.js";
import type { StoreDir } from "../../nix/path/store-path.js";
import * as convert from "../convert/index.js";
import { RpcError } from "../errors.js";
import { Health, HealthCheckResponse_ServingStatus } from "../gen/grpc/health/v1/health_pb.js";
import * as wire from "../gen/runner/v1/streaming_pb.js";
import type { BuilderJoin, CallContext, RunnerServiceHandlers } from "../types.js";
import { CallMeter, type CallReporter, type ServerCall, serverCallKey } from "./call.js";
import type { Connections } from "./connections.js";
import { ServerTunnel } from "./server-tunnel.js";

export interface RoutesOptions extends CallReporter {
  readonly handlers: RunnerServiceHandlers;
  readonly storeDir: StoreDir;
  readonly connections: Connections;
  readonly tunnelQueueLimit: number;
  /** Whether the runner can do its work; shown by the health service. */
  readonly healthy: () => boolean;
  /** Tunnels that are open, for closing them with the server. */
  readonly tunnels: Set<ServerTunnel>;
}

/** The numbers of gRPC and of the library's codes are the same. */
function connectErrorOf(error: RpcError): ConnectError {
  return new ConnectError(error.message, error.number);
}

function callOf(context: HandlerContext): ServerCall {
  const call = context.values.get(serverCallKey);
  if (call === undefined) throw new ConnectError("the connection is gone", Code.Unavailable);
  return call;
}

export function addRoutes(router: ConnectRouter, options: RoutesOptions): void {
  const { handlers, storeDir } = options;
  const empty = (): wire.Empty => create(wire.EmptySchema);

  /** Measures a call with one answer and turns what it throws into a status. */
  function unary<I, O>(method: string, run: (message: I, context: CallContext) => Promise<O>) {
    return async (message: I, context: HandlerContext): Promise<O> => {
      const { peer } = callOf(context);
      const meter = new CallMeter(options, method, peer);
      try {
        const answer = await run(message, { peer, signal: context.signal });
        meter.succeeded();
        return answer;
      } catch (error) {
        throw connectErrorOf(meter.failed(error));
      }
    };
  }

  router.service(wire.RunnerService, {
    checkVersion: unary("CheckVersion", async (message: wire.VersionCheckRequest, context) => {
      const { version, machineId, hostname } = message;
      const answer = await handlers.checkVersion(
        { version, machineId, hostname, storeDir: message.storeDir },
        context,
      );
      return create(wire.VersionCheckResponseSchema, answer);
    }),
    buildStepUpdate: unary("BuildStepUpdate", async (message: wire.StepUpdate, context) => {
      await handlers.buildStepUpdate(convert.stepUpdateFromWire(message), context);
      return empty();
    }),
    completeBuild: unary("CompleteBuild", async (message: wire.BuildResultInfo, context) => {
      await handlers.completeBuild(convert.completionFromWire(message), context);
      return empty();
    }),
    fetchRequisites: unary("FetchRequisites", async (message, context) => {
      const paths = convert.storePathsFromWire(message.paths, "paths");
      const requisites = await handlers.fetchRequisites(paths, context);
      return create(wire.RequisitesResponseSchema, { requisites: requisites.map(convert.storePathToWire) });
    }),
    hasPath: unary("HasPath", async (message, context) => {
      const hasPath = await handlers.hasPath(convert.storePathFromWire(message, "path"), context);
      return create(wire.HasPathResponseSchema, { hasPath });
    }),
    requestPresignedUrl: unary("RequestPresignedUrl", async (message: wire.PresignedUrlRequest, context) =>
      convert.presignedNarsToWire(
        await handlers.requestPresignedUrls(convert.presignedRequestFromWire(message), context),
      ),
    ),
    requestMultipartParts: unary(
      "RequestMultipartParts",
      async (message: wire.MultipartPartsRequest, context) => {
        const parts = await handlers.requestMultipartParts(convert.partsRequestFromWire(message), context);
        return create(wire.MultipartPartsResponseSchema, { parts: convert.partsToWire(parts) });
      },
    ),
    notifyPresignedUploadComplete: unary(
      "NotifyPresignedUploadComplete",
      async (message: wire.PresignedUploadComplete, context) => {
        await handlers.notifyPresignedUploadComplete(
          convert.uploadCompleteFromWire(storeDir, message),
          context,
        );
        return empty();
      },
    ),
    openTunnel: (requests, context) => serveTunnel(options, requests, context),
  });

  const { SERVING, NOT_SERVING } = HealthCheckResponse_ServingStatus;
  const statusOf = (service: string): HealthCheckResponse_ServingStatus => {
    if (service !== "" && service !== wire.RunnerService.typeName) {
      throw new ConnectError(`unknown service ${JSON.stringify(service)}`, Code.NotFound);
    }
    return options.healthy() ? SERVING : NOT_SERVING;
  };
  router.service(Health, {
    check: ({ service }) => ({ status: statusOf(service) }),
    async *watch({ service }, { signal }) {
      let last: HealthCheckResponse_ServingStatus | undefined;
      while (!signal.aborted) {
        const status = statusOf(service);
        if (status !== last) yield { status };
        last = status;
        await pause(1_000, { signal, ref: false });
      }
    },
  });
}

async function* serveTunnel(
  options: RoutesOptions,
  messages: AsyncIterable<wire.BuilderRequest>,
  context: HandlerContext,
): AsyncGenerator<wire.RunnerRequest> {
  const { handlers, connections, tunnels, logger, tunnelQueueLimit } = options;
  const { peer, stream } = callOf(context);
  const meter = new CallMeter(options, "OpenTunnel", peer);
  const requests = messages[Symbol.asyncIterator]();
  let tunnel: ServerTunnel | undefined;
  let machineId: string | undefined;
  let served: Promise<void> | undefined;
  try {
    const first = await requests.next();
    if (first.done === true || first.value.message.case !== "join") {
      throw new RpcError("invalid-argument", "the first message of a tunnel must be a join");
    }
    const running = context.requestHeader.get(convert.runningBuildsHeader);
    const join: BuilderJoin = {
      ...convert.joinFromWire(first.value.message.value),
      ...(running === null ? {} : { running: convert.runningBuildsFromHeader(running) }),
    };
    machineId = join.machineId;
    const opened = new ServerTunnel({
      peer,
      stream,
      requests,
      signal: context.signal,
      queueLimit: tunnelQueueLimit,
      logger,
    });
    tunnel = opened;
    tunnels.add(opened);
    connections.setJoined(stream.session, machineId, true);
    served = handlers.openTunnel(join, opened).then(
      () => opened.finish(),
      (error: unknown) => opened.fail(RpcError.from(error)),
    );
    yield* opened.outgoing();
    meter.succeeded();
  } catch (error) {
    throw connectErrorOf(meter.failed(error));
  } finally {
    // Reached also when the caller is gone while an order waits to be written.
    tunnel?.close("the builder left");
    if (tunnel !== undefined) tunnels.delete(tunnel);
    if (machineId !== undefined) connections.setJoined(stream.session, machineId, false);
    await served;
  }
}
