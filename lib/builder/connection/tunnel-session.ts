/** One stay with a runner: from the version check to the end of the tunnel. */
import type { Logger } from "../../log.js";
import { RpcError } from "../../rpc/errors.js";
import type {
  BuilderJoin,
  BuilderPing,
  BuilderTunnel,
  RunnerApi,
  RunnerOrder,
  VersionCheck,
} from "../../rpc/types.js";
import { BuilderError } from "../errors.js";

/** Milliseconds for the two calls that start a stay. */
const joinTimeout = 60_000;

/** What the runner at an address answered: whether it would take us, and its version. */
export async function checkVersion(
  api: RunnerApi,
  check: VersionCheck,
  signal: AbortSignal,
): Promise<string> {
  let answer: Awaited<ReturnType<RunnerApi["checkVersion"]>>;
  try {
    answer = await api.checkVersion(check, { signal, timeoutMs: joinTimeout });
  } catch (error) {
    throw refusal(error, {
      code: "store-dir-mismatch",
      status: "failed-precondition",
      text: `the runner's store is not in ${check.storeDir}`,
    });
  }
  if (!answer.compatible) {
    throw new BuilderError(
      "incompatible-version",
      `the runner has API version ${answer.serverVersion} and does not accept builders with version ${check.version}; set protocolVersion to the runner's if the two are known to be compatible`,
    );
  }
  return answer.serverVersion;
}

/**
 * Opens the tunnel.
 *
 * @throws BuilderError `join-rejected`, `unauthorized`: retrying does not help; RpcError
 */
export async function join(
  api: RunnerApi,
  message: BuilderJoin,
  signal: AbortSignal,
): Promise<BuilderTunnel> {
  try {
    return await api.openTunnel(message, { signal, timeoutMs: joinTimeout });
  } catch (error) {
    throw refusal(error, {
      code: "join-rejected",
      status: "invalid-argument",
      text: "the runner does not take this machine; with presigned uploads it may insist on useSubstitutes and its own substituters",
    });
  }
}

interface Refusal {
  readonly code: "store-dir-mismatch" | "join-rejected";
  readonly status: RpcError["code"];
  readonly text: string;
}

/** A `BuilderError` for what trying again cannot change, else the error as it is. */
function refusal(error: unknown, { code, status, text }: Refusal): unknown {
  if (!(error instanceof RpcError)) return error;
  if (error.code === status) return new BuilderError(code, text, { cause: error });
  if (error.code === "unauthenticated" || error.code === "permission-denied") {
    return new BuilderError("unauthorized", "the runner refused our token or certificate", { cause: error });
  }
  return error;
}

/** What a stay with a runner works with. */
export interface StayOptions {
  readonly tunnel: BuilderTunnel;
  /** Milliseconds. */
  readonly pingInterval: number;
  /** Milliseconds without an order after which the tunnel is given up. */
  readonly silenceLimit: number;
  readonly ping: () => Promise<BuilderPing>;
  /** Calls its argument when the next ping should not wait for the interval, until disposed of. */
  readonly onNews: (sendPing: () => void) => Disposable;
  readonly onOrder: (order: RunnerOrder) => void;
  readonly logger: Logger;
  /** Ends the stay. */
  readonly signal: AbortSignal;
}

/** Pings and takes orders until the tunnel is over; resolves with the reason. Never rejects. */
export async function stay(options: StayOptions): Promise<string> {
  const { tunnel, signal, logger } = options;
  let silent = false;
  const silence = setTimeout(() => {
    silent = true;
    tunnel.close();
  }, options.silenceLimit);
  const pings = setInterval(() => void sendPing(), options.pingInterval);
  let sampling = false;
  const sendPing = async (): Promise<void> => {
    // A disk that hangs must not pile up questions about its free space.
    if (sampling) return;
    sampling = true;
    try {
      tunnel.sendPing(await options.ping());
    } catch (error) {
      logger.warn("the load of this machine cannot be measured; no ping is sent", { error });
    } finally {
      sampling = false;
    }
  };
  const leave = (): void => tunnel.close();
  signal.addEventListener("abort", leave, { once: true });
  if (signal.aborted) leave();
  void sendPing();
  using _news = options.onNews(() => void sendPing());
  try {
    for await (const order of tunnel.orders) {
      silence.refresh();
      options.onOrder(order);
    }
    if (silent) return "the runner has been silent for too long";
    return await tunnel.closed;
  } catch (error) {
    return silent ? "the runner has been silent for too long" : RpcError.from(error).message;
  } finally {
    clearTimeout(silence);
    clearInterval(pings);
    signal.removeEventListener("abort", leave);
    tunnel.close();
  }
}
