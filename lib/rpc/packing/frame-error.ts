/** Errors of the codec as errors of the call. */
import { CompressionError } from "../../compression/index.js";
import { RpcError } from "../errors.js";

/** Data that do not decode become `internal` errors that name the codec's reason; anything else passes through. */
export async function* asCallErrors(
  decoded: AsyncIterable<Uint8Array>,
  what: string,
): AsyncGenerator<Uint8Array, undefined> {
  try {
    yield* decoded;
  } catch (error) {
    if (!(error instanceof CompressionError)) throw error;
    throw new RpcError("internal", `${what}: ${error.message}`, { cause: error });
  }
}
