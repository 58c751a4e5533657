/** The call that carries a tunnel: the join, then pings up and orders down until one side ends it. */
import type { Logger } from "../../log.js";
import * as convert from "../convert/index.js";
import { RpcError } from "../errors.js";
import { principalOf } from "../principal.js";
import type { BuilderJoin, RunnerServiceHandlers } from "../types.js";
import type { MachineRegistry } from "./machine-registry.js";
import { type ServerCall, startAnswer } from "./serve-call.js";
import { ServerTunnel } from "./server-tunnel.js";
import { TunnelRequests } from "./tunnel-requests.js";

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
  const requests = new TunnelRequests(call);
  const first = await requests.next();
  if (first?.message.case !== "join") {
    requests.stop();
    throw new RpcError("invalid-argument", "the first message of a tunnel must be a join");
  }
  const running = call.headers[convert.runningBuildsHeader];
  const join: BuilderJoin = {
    ...convert.joinFromWire(first.message.value),
    ...(typeof running === "string" ? { running: convert.runningBuildsFromHeader(running) } : {}),
  };
  const tunnel = new ServerTunnel({ call, requests, queueLimit: tunnelQueueLimit, logger });
  const principal = principalOf(call);
  tunnels.add(tunnel);
  machines.joined(principal, join.machineId);
  const served = handlers.openTunnel(join, tunnel).then(
    () => tunnel.finish(),
    (error: unknown) => tunnel.fail(RpcError.from(error)),
  );
  try {
    await tunnel.over;
  } finally {
    tunnels.delete(tunnel);
    machines.left(principal, join.machineId);
    await served;
  }
}
