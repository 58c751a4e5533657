/** One stream back into NARs. */
import { aList, aStream, checkMembers, oneOf, optional } from "../../argument-checks.js";
import { decodeZstdFrame, lentPieces, type PieceUse, usualWindow } from "../../compression/index.js";
import { ByteReader } from "../../nix/nar/byte-reader.js";
import type { ValidPathInfo } from "../../nix/store/path-info.js";
import { RpcError } from "../errors.js";
import type { NarStream } from "../types.js";
import { asCallErrors } from "./frame-error.js";

/** One NAR of a stream. Read `nar` to its end before taking the next one. */
export interface UnpackedNar {
  readonly info: ValidPathInfo;
  /** Exactly `info.narSize` bytes. Read it before asking for the next; what is left unread then is passed over. */
  readonly nar: AsyncIterable<Uint8Array>;
}

/** How NARs are unpacked. */
export interface UnpackOptions {
  /** `lent`: a piece of a NAR may be overwritten once the next one is asked for, which saves a copy. Default `kept`. */
  readonly pieces?: PieceUse;
}

/** Largest piece that is handed on at once. */
const maxPiece = 1024 * 1024;

/**
 * The paths in the order of the stream, each with its NAR. NARs end where their infos say; their hashes are not checked
 * here, a daemon does so when it takes them.
 *
 * @throws RpcError `internal` when the bytes do not decode, are too few, or more than the infos say; whatever the
 *   stream throws, in particular when the transfer broke off
 */
export async function* unpackNars(
  stream: NarStream,
  options: UnpackOptions = {},
): AsyncGenerator<UnpackedNar, undefined> {
  checkMembers("unpackNars", stream, { infos: aList, chunks: aStream });
  checkMembers("unpackNars", options, { pieces: optional(oneOf(["kept", "lent"])) });
  const { pieces = "kept" } = options;
  const promised = stream.infos.reduce((sum, { narSize }) => sum + narSize, 0);
  const decoded = decodeZstdFrame(lentPieces(stream.chunks), {
    // One byte more shows that there are more.
    maxOutput: promised + 1,
    maxWindow: usualWindow,
    // A decoder that is fast but not live is good enough: half a NAR is useless.
    live: false,
    pieces,
  });
  const reader = new ByteReader(asCallErrors(decoded, "the NARs do not decode"));
  try {
    for (const info of stream.infos) {
      const nar = oneNar(reader, info);
      yield { info, nar };
      // No `return()` on a generator that is still in use elsewhere; reading on is safe in either state.
      for await (const _ of nar);
    }
    if (!(await reader.atEnd())) {
      throw new RpcError("internal", "the stream holds more than the NARs of its infos");
    }
  } finally {
    // Not awaited: the source may be waiting for data that need not come.
    void reader.cancel().catch(() => {});
  }
}

/** Can be iterated again to read on where the last reader stopped. */
function oneNar(reader: ByteReader, info: ValidPathInfo): AsyncIterable<Uint8Array> {
  let left = info.narSize;
  return {
    async *[Symbol.asyncIterator]() {
      while (left > 0) {
        const piece = await reader.some(Math.min(left, maxPiece));
        if (piece === undefined) {
          throw new RpcError("internal", `the NAR of ${info.path} lacks ${left} of ${info.narSize} bytes`);
        }
        left -= piece.length;
        yield piece;
      }
    },
  };
}
