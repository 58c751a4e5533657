/** The call that carries a tunnel: the join, then pings up and orders down until one side ends it. */
import { toBinary } from "@bufbuild/protobuf";
import type { Logger } from "../../log.js";
import * as convert from "../convert/index.js";
import { RpcError } from "../errors.js";
import {
  type BuilderRequest,
  BuilderRequestSchema,
  RunnerRequestSchema,
} from "../gen/runner/v1/streaming_pb.js";
import { principalOf } from "../principal.js";
import { readMessages } from "../stream/index.js";
import type { BuilderJoin, RunnerServiceHandlers } from "../types.js";
import { decode } from "./decode.js";
import type { MachineRegistry } from "./machine-registry.js";
import { type ServerCall, sendMessage, startAnswer } from "./serve-call.js";
import { ServerTunnel } from "./server-tunnel.js";

/** Largest message of a builder in its tunnel: a join with long lists of features and substituters. */
const maxTunnelMessageBytes = 1024 * 1024;

/** What tunnels are served with. */
export interface TunnelCallOptions {
  readonly handlers: RunnerServiceHandlers;
  readonly machines: MachineRegistry;
  readonly tunnelQueueLimit: number;
  /** Tunnels that are open, for closing them with the server. */
  readonly tunnels: Set<ServerTunnel>;
  readonly logger: Logger;
}

/** Serves one tunnel to its end. @throws RpcError what the handler refused the join with, or why the tunnel was closed */
export async function serveTunnel(options: TunnelCallOptions, call: ServerCall): Promise<void> {
  const { handlers, machines, tunnels, logger, tunnelQueueLimit } = options;
  // A builder may wait for the head of the answer before it uses the tunnel.
  startAnswer(call.stream);
  const requests = requestsOf(call);
  const first = await requests.next();
  if (first.done === true || first.value.message.case !== "join") {
    throw new RpcError("invalid-argument", "the first message of a tunnel must be a join");
  }
  const running = call.headers[convert.runningBuildsHeader];
  const join: BuilderJoin = {
    ...convert.joinFromWire(first.value.message.value),
    ...(typeof running === "string" ? { running: convert.runningBuildsFromHeader(running) } : {}),
  };
  const tunnel = new ServerTunnel({
    peer: call.peer,
    stream: call.stream,
    requests,
    signal: call.signal,
    queueLimit: tunnelQueueLimit,
    logger,
  });
  const principal = principalOf(call);
  tunnels.add(tunnel);
  machines.joined(principal, join.machineId);
  const served = handlers.openTunnel(join, tunnel).then(
    () => tunnel.finish(),
    (error: unknown) => tunnel.fail(RpcError.from(error)),
  );
  try {
    for await (const order of tunnel.outgoing()) {
      await sendMessage(call, toBinary(RunnerRequestSchema, order));
    }
  } finally {
    // Reached also when the caller is gone while an order waits to be written.
    tunnel.close("the builder left");
    tunnels.delete(tunnel);
    machines.left(principal, join.machineId);
    await served;
  }
}

async function* requestsOf(call: ServerCall): AsyncGenerator<BuilderRequest, undefined> {
  const messages = readMessages(call.stream, {
    maxBytes: maxTunnelMessageBytes,
    onGrow: (bytes) => call.hold.grow(bytes),
    onPiece: call.onPiece,
    signal: call.signal,
  });
  for await (const bytes of messages) {
    const request = await decode(BuilderRequestSchema, bytes);
    call.hold.release();
    yield request;
  }
  return undefined;
}
