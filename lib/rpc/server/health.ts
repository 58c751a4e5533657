/** The standard health service of gRPC, `grpc.health.v1.Health`; it needs no token. */
import { create, toBinary } from "@bufbuild/protobuf";
import { pause } from "../../async/index.js";
import { RpcError } from "../errors.js";
import {
  HealthCheckRequestSchema,
  HealthCheckResponse_ServingStatus,
  HealthCheckResponseSchema,
} from "../gen/grpc/health/v1/health_pb.js";
import { RunnerService } from "../gen/runner/v1/streaming_pb.js";
import { decode } from "./decode.js";
import { readOneMessage, type ServerCall, sendMessage } from "./serve-call.js";

/** What the paths of the calls begin with; the name of the method follows. */
export const healthPath = "/grpc.health.v1.Health/";

/** Largest request: it holds one name. */
const maxRequestBytes = 1_024;
const watchIntervalMs = 1_000;

/** Answers `Check` and `Watch`. @throws RpcError `not-found` for another service, `unimplemented` for another method */
export async function serveHealth(method: string, call: ServerCall, healthy: () => boolean): Promise<void> {
  if (method !== "Check" && method !== "Watch") throw new RpcError("unimplemented", "unknown method");
  const { service } = await decode(HealthCheckRequestSchema, await readOneMessage(call, maxRequestBytes));
  if (service !== "" && service !== RunnerService.typeName) {
    throw new RpcError("not-found", `unknown service ${JSON.stringify(service)}`);
  }
  let last = healthy();
  await sendMessage(call, answer(last));
  if (method === "Check") return;
  while (!call.signal.aborted) {
    await pause(watchIntervalMs, { signal: call.signal, ref: false });
    const now = healthy();
    if (now !== last) await sendMessage(call, answer(now));
    last = now;
  }
}

function answer(healthy: boolean): Uint8Array {
  const { SERVING, NOT_SERVING } = HealthCheckResponse_ServingStatus;
  return toBinary(
    HealthCheckResponseSchema,
    create(HealthCheckResponseSchema, { status: healthy ? SERVING : NOT_SERVING }),
  );
}
