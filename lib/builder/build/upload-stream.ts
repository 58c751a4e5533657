/**
 * Uploads to the runner itself: whatever it lacks of the outputs' closure. Large paths have a stream of their own, because
 * a stream is one zstd frame: a runner can keep that of a single path as the file of a binary cache.
 */

import { mapLimited } from "../../async/index.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { ValidPathInfo } from "../../nix/store/path-info.js";
import type { Store } from "../../nix/store/store.js";
import { packNars } from "../../rpc/index.js";
import type { RunnerApi } from "../../rpc/types.js";
import type { RunnerLink } from "../connection/runner-link.js";
import { counted, type MutableCounters } from "../counters.js";

const questionsAtOnce = 10;
/** Milliseconds for one "do you have it?". */
const questionTimeout = 60_000;
/** Bytes of a NAR that are sent sooner than the runner could say whether it needs them. */
const smallNar = 32 << 10;
/** Bytes of a NAR that has a stream of its own. */
const largeNar = 1 << 20;

/** What an upload works with. */
export interface StreamUploadOptions {
  readonly store: Store;
  readonly link: RunnerLink;
  readonly counters: MutableCounters;
  readonly signal: AbortSignal;
}

/** What is likely about the runner's store. */
export interface RunnerBeliefs {
  /** It has these: they came from there. */
  readonly known: ReadonlySet<StorePath>;
  /** It lacks these: it has just asked for them to be built. */
  readonly outputs: ReadonlySet<StorePath>;
}

/** Resolves when the runner has all of `closure` (references first). */
export async function uploadStream(
  closure: readonly ValidPathInfo[],
  beliefs: RunnerBeliefs,
  options: StreamUploadOptions,
): Promise<void> {
  const { link, signal } = options;
  const candidates = closure.filter((info) => !beliefs.known.has(info.path));
  await link.call(async (api) => {
    const lacking = await lackedBy(api, candidates, beliefs, signal);
    for (const together of streamsOf(lacking)) await send(api, together, options);
  }, signal);
}

/** In the same order: what is referred to comes first. */
function streamsOf(infos: readonly ValidPathInfo[]): readonly (readonly ValidPathInfo[])[] {
  const streams: ValidPathInfo[][] = [];
  let small: ValidPathInfo[] = [];
  for (const info of infos) {
    if (info.narSize >= largeNar) {
      streams.push([info]);
      small = [];
      continue;
    }
    if (small.length === 0) streams.push(small);
    small.push(info);
  }
  return streams;
}

async function lackedBy(
  api: RunnerApi,
  infos: readonly ValidPathInfo[],
  { outputs }: RunnerBeliefs,
  signal: AbortSignal,
): Promise<ValidPathInfo[]> {
  const has = await mapLimited(
    infos,
    questionsAtOnce,
    (info) => {
      if (info.narSize <= smallNar && outputs.has(info.path)) return Promise.resolve(false);
      // A question without an answer costs an upload too much, nothing else.
      return api.hasPath(info.path, { signal, timeoutMs: questionTimeout }).catch(() => false);
    },
    signal,
  );
  return infos.filter((_, index) => has[index] !== true);
}

async function send(
  api: RunnerApi,
  infos: readonly ValidPathInfo[],
  { store, counters, signal }: StreamUploadOptions,
): Promise<void> {
  await counted(counters, "uploading", infos.length, () =>
    api.buildResult(
      packNars(infos, (info) => store.narFromPath(info.path, { signal, pieces: "lent" })),
      { signal },
    ),
  );
  counters.pathsUploaded += infos.length;
  counters.bytesUploaded += infos.reduce((sum, info) => sum + info.narSize, 0);
}
