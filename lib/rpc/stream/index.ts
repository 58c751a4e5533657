/**
 * gRPC on bare HTTP/2 streams for the calls that carry bulk bytes: framing, parsing and backpressure, for both ends.
 * Nothing here knows what the bytes mean.
 */
export { checkRequestEnd } from "./envelope.js";
export { bulkHead, messageFrame } from "./frame.js";
export { gathered } from "./gathered.js";
export { MessageAssembler } from "./message-assembler.js";
export { readMessages } from "./message-reader.js";
export {
  bulkPieceBytes,
  decodeGrpcMessage,
  encodeGrpcMessage,
  isEndedByPeer,
  maxMessageBytes,
  servicePath,
} from "./protocol.js";
export { type BulkEvents, BulkReader, nextEvent, payloadOf } from "./reader.js";
export { writeThrough, writeWithPressure } from "./writer.js";
