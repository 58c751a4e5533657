/** The bodies of uploads to a daemon: NARs of exactly the promised size, and several paths in one stream. */
import type { ValidPathInfo } from "../store/path-info.js";
import type { ByteStream } from "../store/store.js";
import { DaemonError } from "./error.js";
import { sizeMismatch } from "./nar.js";
import { type WireContext, writePathInfo } from "./protocol/values.js";
import { WireWriter } from "./protocol/writer.js";

/** A path to be added, with its NAR. */
export interface PathToAdd {
  readonly info: ValidPathInfo;
  readonly nar: ByteStream;
}

/** A stream of one piece. */
export async function* once(bytes: Uint8Array): ByteStream {
  yield bytes;
}

/**
 * Passes a NAR on and fails when it is not as long as promised: daemons do not notice bytes after its end.
 *
 * @throws DaemonError `size-mismatch`
 */
export async function* exactly(nar: ByteStream, size: number): ByteStream {
  let seen = 0;
  for await (const piece of nar) {
    seen += piece.length;
    if (seen > size) throw sizeMismatch(size, "more");
    yield piece;
  }
  if (seen < size) throw sizeMismatch(size, String(seen));
}

/**
 * The body of AddMultipleToStore: a count, then each path's info and NAR.
 *
 * @throws DaemonError `size-mismatch` for a NAR of another size, or another number of paths
 */
export async function* packPaths(
  context: WireContext,
  items: AsyncIterable<PathToAdd>,
  count: number,
): ByteStream {
  yield new WireWriter().u64(count).take();
  let seen = 0;
  for await (const { info, nar } of items) {
    seen++;
    if (seen > count) break;
    const writer = new WireWriter();
    writePathInfo(writer, context, info);
    yield writer.take();
    yield* exactly(nar, info.narSize);
  }
  if (seen !== count)
    throw new DaemonError("size-mismatch", `${count} paths were promised, but there were others`);
}
