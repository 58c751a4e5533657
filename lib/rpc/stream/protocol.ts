/** Facts of gRPC over HTTP/2 that both ends need. */

import type { Http2Stream } from "node:http2";
import { turn } from "../../async/index.js";

/** What the paths of the runner's calls begin with; the name of the method follows. */
export const servicePath = "/runner.v1.RunnerService/";

/** Largest message either side takes, as in the peers that are deployed. */
export const maxMessageBytes = 50 * 1024 * 1024;

/** Bytes of a bulk message that we send. Deployed peers send 64 KiB, and take whatever is below their limit. */
export const bulkPieceBytes = 256 * 1024;

/** `grpc-message` is percent-encoded UTF-8. */
export function encodeGrpcMessage(text: string): string {
  let encoded = "";
  for (const byte of new TextEncoder().encode(text.slice(0, 4096))) {
    if (byte >= 0x20 && byte <= 0x7e && byte !== 0x25) encoded += String.fromCharCode(byte);
    else encoded += `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}

/** Text that does not decode is shown as it came. */
export function decodeGrpcMessage(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * Whether a stream that ended was really ended by the peer. A reset looks like a clean end to the reader, whatever
 * its code; but a stream that is only half closed is not closed yet.
 *
 * Check this before closing our own side.
 */
export async function isEndedByPeer(stream: Http2Stream): Promise<boolean> {
  // Node ends a stream that it resets first, and the reset comes in a packet of its own.
  await turn();
  await turn();
  return !stream.aborted && !stream.closed && !stream.destroyed;
}
