/** Many NARs into one stream. */
import { aFunction, aList, checkArgument } from "../../argument-checks.js";
import { lendingStream, zstdFrame } from "../../compression/index.js";
import type { ValidPathInfo } from "../../nix/store/path-info.js";
import { RpcError } from "../errors.js";
import type { NarStream } from "../types.js";

/** As the deployed peers have it. */
const level = 3;

/**
 * @param infos references before referrers; the receiver imports in this order
 * @param narOf called for one path after the other, when the NARs before it are through
 *
 * `chunks` throws `RpcError` `data-loss` when a NAR is not as long as its info says, and whatever the NARs throw; the
 * frame is then unfinished, which no receiver takes for the end.
 */
export function packNars(
  infos: readonly ValidPathInfo[],
  narOf: (info: ValidPathInfo) => AsyncIterable<Uint8Array>,
): NarStream {
  checkArgument("packNars", "infos", infos, aList);
  checkArgument("packNars", "narOf", narOf, aFunction);
  return {
    infos,
    chunks: lendingStream(() => zstdFrame(concatenated(infos, narOf), { level, pieces: "lent" })),
  };
}

async function* concatenated(
  infos: readonly ValidPathInfo[],
  narOf: (info: ValidPathInfo) => AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, undefined> {
  for (const info of infos) {
    let size = 0;
    for await (const chunk of narOf(info)) {
      size += chunk.length;
      if (size > info.narSize) break;
      yield chunk;
    }
    if (size !== info.narSize) {
      const problem = size > info.narSize ? "more" : `only ${size}`;
      throw new RpcError("data-loss", `the NAR of ${info.path} has ${problem} of ${info.narSize} bytes`);
    }
  }
}
