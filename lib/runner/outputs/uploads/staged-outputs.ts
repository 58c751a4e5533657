/**
 * Outputs that are written into the caches while they arrive, so that they need not be read from the store and compressed
 * once more. What is staged gets its name in a cache when the attempt's outputs are published; until then, and if they
 * never are, no cache shows anything of it.
 */
import type { BinaryCache, NarStage } from "../../../binary-cache/index.js";
import { lentPieces } from "../../../compression/index.js";
import type { StorePath } from "../../../nix/path/store-path.js";
import type { ValidPathInfo } from "../../../nix/store/path-info.js";
import type { NarStream } from "../../../rpc/index.js";
import type { AttemptId } from "../../../scheduler/ids.js";
import type { Attempt } from "../../state/attempts.js";
import { mayBeOutput } from "../arriving/addressed.js";

/** Bytes of the smallest NAR that is staged: below, compressing again costs less than the care for it. */
const smallestNar = 1 << 20;

/** A stream that is being received. */
export interface StagedStream {
  /** The compressed bytes, which have to be read through this. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Passes the NAR of the stream on. */
  readonly pass: (nar: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>;
  /** The stream is over. `arrived`: the store has taken the path. */
  readonly over: (arrived: boolean) => void;
}

/** What is staged for attempts that are not over. */
export class StagedOutputs {
  readonly #stages = new Map<AttemptId, Map<StorePath, readonly NarStage[]>>();

  /**
   * Begins to stage what `stream` brings for `attempt`. Only a stream of one path is a file as caches have it. Undefined
   * when nothing of it can be staged.
   */
  begin(stream: NarStream, attempt: Attempt, caches: readonly BinaryCache[]): StagedStream | undefined {
    const [info, ...others] = stream.infos;
    if (info === undefined || others.length > 0 || !isStaged(info, attempt)) return undefined;
    const own = this.#stages.get(attempt.id) ?? new Map<StorePath, readonly NarStage[]>();
    const { path } = info;
    if (!own.has(path) && own.size >= attempt.facts.outputs.size) return undefined;
    // Of an upload that broke off, or of other contents.
    discardAll(own.get(path) ?? []);
    const stages = caches.map((cache) => cache.stageNar(info)).filter((stage) => stage !== undefined);
    if (stages.length === 0) return undefined;
    this.#stages.set(attempt.id, own.set(path, stages));
    return {
      chunks: stages.reduce((chunks, stage) => stage.received(chunks), lentPieces(stream.chunks)),
      pass: (nar) => stages.reduce((passed, stage) => stage.decoded(passed), nar),
      over: (arrived) => {
        // The attempt may have ended meanwhile.
        const wanted = arrived && this.#stages.get(attempt.id) === own && own.get(path) === stages;
        discardAll(wanted ? stages.filter((stage) => !stage.complete) : stages);
      },
    };
  }

  /** Whatever of the attempt's was not published never will be. Resolves when nothing of it is left. */
  async discard(attempt: AttemptId): Promise<void> {
    const stages = this.#stages.get(attempt);
    this.#stages.delete(attempt);
    await Promise.all([...(stages?.values() ?? [])].flat().map((stage) => stage.discard()));
  }

  /** As `discard`, for all attempts. */
  async close(): Promise<void> {
    await Promise.all([...this.#stages.keys()].map((attempt) => this.discard(attempt)));
  }
}

/** Nothing waits for files to go away. */
function discardAll(stages: readonly NarStage[]): void {
  for (const stage of stages) void stage.discard();
}

function isStaged({ path, narSize }: ValidPathInfo, attempt: Attempt): boolean {
  return narSize >= smallestNar && mayBeOutput(attempt, path);
}
