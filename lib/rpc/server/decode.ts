/** Bytes to generated messages. */
import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { RpcError } from "../errors.js";

/** @throws RpcError `internal` for bytes that are not such a message */
export function decode<S extends DescMessage>(schema: S, bytes: Uint8Array): MessageShape<S> {
  try {
    return fromBinary(schema, bytes);
  } catch (cause) {
    throw new RpcError("internal", `undecodable ${schema.typeName}`, { cause });
  }
}
