/**
 * Small outputs as they arrived, kept until they are uploaded: asking the store for them again costs it, and the build, more
 * than the few bytes do.
 */
import { hashBytes, hashesEqual } from "../../../nix/path/hash.js";
import type { StorePath } from "../../../nix/path/store-path.js";
import type { ValidPathInfo } from "../../../nix/store/path-info.js";
import type { NarStream } from "../../../rpc/index.js";
import type { AttemptId } from "../../../scheduler/ids.js";
import type { Attempt } from "../../state/attempts.js";
import { mayBeOutput } from "../arriving/addressed.js";
import type { StagedStream } from "./staged-outputs.js";

/** Bytes of the largest NAR that is kept. */
const largestNar = 64 << 10;
/** Bytes of all of them, also of those that are being received; what comes when so much is kept is read from the store. */
const most = 8 << 20;
/** What keeping even an empty one costs, in bytes. */
const least = 1 << 10;

interface HeldNar {
  readonly attempt: AttemptId;
  readonly info: ValidPathInfo;
  readonly nar: Uint8Array;
}

/** Small NARs of attempts that are not over. */
export class HeldNars {
  readonly #held = new Map<StorePath, HeldNar>();
  readonly #paths = new Map<AttemptId, Set<StorePath>>();
  #bytes = 0;

  /** Keeps what `stream` brings for `attempt` and is small; undefined when there is nothing of that kind. */
  begin(stream: NarStream, attempt: Attempt): StagedStream | undefined {
    const outputs = attempt.facts.outputs.size;
    const isKept = ({ path, narSize }: ValidPathInfo): boolean =>
      narSize <= largestNar && mayBeOutput(attempt, path);
    if (!stream.infos.some(isKept)) return undefined;
    const own = this.#paths.get(attempt.id) ?? new Set<StorePath>();
    this.#paths.set(attempt.id, own);
    const infos = stream.infos.values();
    const complete: { readonly info: ValidPathInfo; readonly nar: Uint8Array }[] = [];
    let begun = 0;
    let reserved = 0;
    return {
      chunks: stream.chunks,
      // Once for each path, in the order of the stream.
      pass: (nar) => {
        const info = infos.next().value;
        // A builder may send other paths than its outputs, as long as it does not say where they are.
        if (info === undefined || !isKept(info) || begun >= outputs) return nar;
        const cost = costOf(info);
        if (this.#bytes + cost > most) return nar;
        begun++;
        reserved += cost;
        this.#bytes += cost;
        return copied(nar, info.narSize, (whole) => complete.push({ info, nar: whole }));
      },
      over: (arrived) => {
        this.#bytes -= reserved;
        // The attempt may have ended meanwhile.
        if (!arrived || this.#paths.get(attempt.id) !== own) return;
        for (const { info, nar } of complete) this.#keep(attempt, own, info, nar);
      },
    };
  }

  /** The NAR of a path, while it is kept and is what the store has under this name. */
  open({ path, narHash }: Pick<ValidPathInfo, "path" | "narHash">): Uint8Array | undefined {
    const held = this.#held.get(path);
    return held !== undefined && hashesEqual(held.info.narHash, narHash) ? held.nar : undefined;
  }

  /** Nothing of the attempt's is needed any more. */
  discard(attempt: AttemptId): void {
    for (const path of this.#paths.get(attempt) ?? []) this.#drop(path);
    this.#paths.delete(attempt);
  }

  #keep({ id, facts }: Attempt, own: Set<StorePath>, info: ValidPathInfo, nar: Uint8Array): void {
    const { path, narHash } = info;
    if (!own.has(path) && own.size >= facts.outputs.size) return;
    this.#drop(path);
    // A store that has the path already does not look at what comes.
    if (!hashesEqual(hashBytes("sha256", nar), narHash)) return;
    this.#held.set(path, { attempt: id, info, nar });
    own.add(path);
    this.#bytes += costOf(info);
  }

  #drop(path: StorePath): void {
    const held = this.#held.get(path);
    if (held === undefined) return;
    this.#held.delete(path);
    this.#paths.get(held.attempt)?.delete(path);
    this.#bytes -= costOf(held.info);
  }
}

function costOf({ narSize }: ValidPathInfo): number {
  return Math.max(narSize, least);
}

/** Passes a NAR on; `onWhole` gets a copy of it when it was as long as promised. */
async function* copied(
  nar: AsyncIterable<Uint8Array>,
  size: number,
  onWhole: (nar: Uint8Array) => void,
): AsyncGenerator<Uint8Array> {
  // Not a part of a larger buffer, which would be kept with it.
  const whole = Buffer.allocUnsafeSlow(size);
  let length = 0;
  for await (const piece of nar) {
    if (length + piece.length <= size) whole.set(piece, length);
    length += piece.length;
    yield piece;
  }
  if (length === size) onWhole(whole);
}
