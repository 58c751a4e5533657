/** Bytes to generated messages, in slices that let other work go on. */
import { create, type DescMessage, type MessageShape, mergeFromBinary } from "@bufbuild/protobuf";
import { turn } from "../../async/index.js";
import type { StorePath } from "../../nix/path/store-path.js";
import { storePathFromWire } from "../convert/index.js";
import { RpcError } from "../errors.js";
import type { StorePath as StorePathMessage } from "../gen/nix/store/v1/store_pb.js";
import { hasMoreFields, parts } from "./wire-fields.js";

/** Fields of a message with all messages in it: 350,000 store paths, or the products and metrics of 50 outputs. */
const mostFields = 700_000;
/** Store paths that are read in one turn of the event loop. */
const pathsPerTurn = 10_000;
/** Bytes that are decoded before other work gets a turn. */
const bytesPerTurn = 131_072;

/** Whether `decodeNow` may decode a message of these bytes. */
export function isDecodedAtOnce(bytes: Uint8Array): boolean {
  return bytes.length <= bytesPerTurn;
}

/**
 * Decodes a message synchronously. For small messages: the size is not checked.
 *
 * @throws RpcError `internal` for bytes that are not such a message
 */
export function decodeNow<S extends DescMessage>(schema: S, bytes: Uint8Array): MessageShape<S> {
  try {
    return mergeFromBinary(schema, create(schema), bytes);
  } catch (cause) {
    throw undecodable(schema, cause);
  }
}

/**
 * A whole message.
 *
 * @throws RpcError `internal` for bytes that are not such a message, `out-of-range` for one with too many fields
 */
export async function decode<S extends DescMessage>(schema: S, bytes: Uint8Array): Promise<MessageShape<S>> {
  if (hasMoreFields(schema, bytes, mostFields)) {
    throw new RpcError("out-of-range", `a ${schema.typeName} with more than ${mostFields} fields`);
  }
  const message = create(schema);
  try {
    for (const part of parts(bytes, bytesPerTurn)) {
      mergeFromBinary(schema, message, part);
      if (part.length < bytes.length) await turn();
    }
  } catch (cause) {
    throw undecodable(schema, cause);
  }
  return message;
}

/** A list of store paths, which may be long. @throws RpcError `invalid-argument` naming the field and index */
export async function storePathsOf(
  messages: readonly StorePathMessage[],
  field: string,
): Promise<StorePath[]> {
  const paths: StorePath[] = [];
  for (const [index, message] of messages.entries()) {
    if (index > 0 && index % pathsPerTurn === 0) await turn();
    paths.push(storePathFromWire(message, `${field}[${index}]`));
  }
  return paths;
}

function undecodable({ typeName }: DescMessage, cause: unknown): RpcError {
  return new RpcError("internal", `undecodable ${typeName}`, { cause });
}
