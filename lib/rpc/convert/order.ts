/** Messages down the tunnel. */
import { create } from "@bufbuild/protobuf";
import * as wire from "../gen/runner/v1/streaming_pb.js";
import type { BuildOrder, RunnerOrder } from "../types.js";
import { basicDerivationFromWire, basicDerivationToWire } from "./derivation.js";
import { int32, parseUuid, present, toBigint, toNumber, uint32 } from "./scalars.js";
import { storePathFromWire, storePathToWire } from "./store.js";
import { traceparentOf } from "./traceparent.js";

function buildFromWire(message: wire.BuildMessage): BuildOrder {
  return {
    buildId: parseUuid(message.buildId, "build.build_id"),
    drv: storePathFromWire(message.drv, "build.drv"),
    derivation: message.resolvedDrv && basicDerivationFromWire(message.resolvedDrv, "build.resolved_drv"),
    maxLogSize: toNumber(message.maxLogSize, "build.max_log_size"),
    maxSilentTime: message.maxSilentTime,
    buildTimeout: message.buildTimeout,
    maxOutputSize: toNumber(message.maxOutputSize, "build.max_output_size"),
    presigned: message.presignedUrlOpts && { uploadDebugInfo: message.presignedUrlOpts.uploadDebugInfo },
    ...present("traceparent", traceparentOf(message.traceparent)),
  };
}

function buildToWire(build: BuildOrder): wire.BuildMessage {
  return create(wire.BuildMessageSchema, {
    buildId: build.buildId,
    drv: storePathToWire(build.drv),
    ...present("resolvedDrv", build.derivation && basicDerivationToWire(build.derivation)),
    maxLogSize: toBigint(build.maxLogSize, "build.maxLogSize"),
    maxSilentTime: int32(build.maxSilentTime, "build.maxSilentTime"),
    buildTimeout: int32(build.buildTimeout, "build.buildTimeout"),
    maxOutputSize: toBigint(build.maxOutputSize, "build.maxOutputSize"),
    ...present(
      "presignedUrlOpts",
      build.presigned && create(wire.PresignedUploadOptsSchema, build.presigned),
    ),
    ...present("traceparent", build.traceparent),
  });
}

/**
 * Undefined for a message without content, which a newer runner may send.
 *
 * @throws RpcError `invalid-argument`; for a bad build order the build id, if readable, is in the message
 */
export function orderFromWire({ message }: wire.RunnerRequest): RunnerOrder | undefined {
  switch (message.case) {
    case "join":
      return {
        kind: "joinResponse",
        machineId: message.value.machineId,
        maxConcurrentDownloads: message.value.maxConcurrentDownloads,
      };
    case "configUpdate":
      return { kind: "configUpdate", maxConcurrentDownloads: message.value.maxConcurrentDownloads };
    case "ping":
      return { kind: "ping", message: message.value.message };
    case "build":
      return { kind: "build", build: buildFromWire(message.value) };
    case "abort":
      return { kind: "abort", buildId: parseUuid(message.value.buildId, "abort.build_id") };
    case undefined:
      return undefined;
  }
}

function contentOf(order: RunnerOrder): wire.RunnerRequest["message"] {
  switch (order.kind) {
    case "joinResponse": {
      const { machineId } = order;
      const maxConcurrentDownloads = uint32(order.maxConcurrentDownloads, "join.maxConcurrentDownloads");
      return { case: "join", value: create(wire.JoinResponseSchema, { machineId, maxConcurrentDownloads }) };
    }
    case "configUpdate": {
      const maxConcurrentDownloads = uint32(order.maxConcurrentDownloads, "config.maxConcurrentDownloads");
      return { case: "configUpdate", value: create(wire.ConfigUpdateSchema, { maxConcurrentDownloads }) };
    }
    case "ping":
      return { case: "ping", value: create(wire.SimplePingMessageSchema, { message: order.message }) };
    case "build":
      return { case: "build", value: buildToWire(order.build) };
    case "abort":
      return { case: "abort", value: create(wire.AbortMessageSchema, { buildId: order.buildId }) };
  }
}

/** An order as its message. @throws RpcError `invalid-argument` when the wire has no place for it */
export function orderToWire(order: RunnerOrder): wire.RunnerRequest {
  return create(wire.RunnerRequestSchema, { message: contentOf(order) });
}
