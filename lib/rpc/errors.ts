/** The errors of this room: gRPC statuses. */
import { HydraError, toError } from "../errors.js";

/** Canonical gRPC status names with their numbers; OK is not among them. */
export const rpcStatusCodes = {
  cancelled: 1,
  unknown: 2,
  "invalid-argument": 3,
  "deadline-exceeded": 4,
  "not-found": 5,
  "already-exists": 6,
  "permission-denied": 7,
  "resource-exhausted": 8,
  "failed-precondition": 9,
  aborted: 10,
  "out-of-range": 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  "data-loss": 15,
  unauthenticated: 16,
} as const;

/** The name of a gRPC status other than OK. */
export type RpcStatus = keyof typeof rpcStatusCodes;

const names = new Map<number, RpcStatus>(
  (Object.keys(rpcStatusCodes) as RpcStatus[]).map((name) => [rpcStatusCodes[name], name]),
);

/**
 * A call that ended with a status other than OK.
 *
 * On the server, throwing one chooses the status the caller sees. On the client, it is what the runner answered, or
 * `unavailable` when the connection failed.
 */
export class RpcError extends HydraError {
  readonly code: RpcStatus;

  constructor(code: RpcStatus, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }

  /** The number that goes into `grpc-status`. */
  get number(): number {
    return rpcStatusCodes[this.code];
  }

  /** An `RpcError` stays as it is; anything else is wrapped with `code`. */
  static from(thrown: unknown, code: RpcStatus = "internal"): RpcError {
    return rpcErrorFrom(thrown, code);
  }
}

/** Apart, as a bundler gives a class whose body refers to itself another name, which is the error's in logs. */
function rpcErrorFrom(thrown: unknown, code: RpcStatus): RpcError {
  if (thrown instanceof RpcError) return thrown;
  const error = toError(thrown);
  return new RpcError(code, error.message, { cause: error });
}

/**
 * A call that the server has certainly not processed: its connection was about to end, as HTTP/2 says with GOAWAY or
 * REFUSED_STREAM. Making the call again is safe, whatever it does. The code is `unavailable`.
 */
export class UnprocessedCallError extends RpcError {
  constructor(options?: { readonly cause?: unknown }) {
    super("unavailable", "the runner did not take the call, because it is closing the connection", options);
  }
}

/** The name of a status number; numbers out of range are `unknown`, as gRPC asks for. */
export function rpcStatusOf(number: number): RpcStatus {
  return names.get(number) ?? "unknown";
}
