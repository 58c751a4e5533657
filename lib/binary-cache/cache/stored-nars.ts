/** The NARs of a binary cache: written once, measured while they pass, and read back. */
import { BoundedMap } from "../../async/index.js";
import {
  type CompressionMethod,
  compress,
  decompress,
  lentPieces,
  parseCompressionMethod,
} from "../../compression/index.js";
import type { Logger } from "../../log.js";
import type { NarInfo } from "../../nix/cache/nar-info.js";
import type { Hash } from "../../nix/path/hash.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { ValidPathInfo } from "../../nix/store/path-info.js";
import type { CacheSettings } from "../cache-uri.js";
import { BinaryCacheError, missingObject } from "../errors.js";
import { contentTypes } from "../layout.js";
import type { ObjectStore, ReadOptions } from "../objects/object-store.js";
import { FileMeter, NarInspection } from "./nar-inspection.js";
import { type MeasuredNar, NarStage, type StagedForm } from "./nar-stage.js";

/** Files that are remembered. */
const knownFrames = 10_000;

/**
 * Gives the NAR of a path, from its beginning, each time it is called. What may be lent costs less. `info`: what is known of
 * the path; the NAR is compared with it.
 */
export type OpenNar = (
  path: StorePath,
  signal?: AbortSignal,
  info?: ValidPathInfo,
) => AsyncIterable<Uint8Array>;

/** A NAR as it lies in the cache, compressed. */
export interface StoredNar {
  readonly fileHash: Hash;
  /** Bytes. */
  readonly fileSize: number;
}

/**
 * Makes what points to a NAR, which was measured and compared with what was promised. Nothing of it may be visible before
 * `named` resolves: then the NAR is safe under its name.
 */
export type UseNar = (nar: MeasuredNar, named: Promise<void>) => Promise<void>;

/** How a NAR is stored. */
export interface StoreNarOptions extends ReadOptions {
  /** Whether to make a listing on the way. */
  readonly listing: boolean;
  /** Write over a NAR that is there. */
  readonly repair: boolean;
}

/** How a stored NAR is checked. */
export interface VerifyOptions extends ReadOptions {
  /** Looks at the NAR while it is read. */
  readonly inspection?: NarInspection | undefined;
  /** Of the stored file, when it is not that of the settings. */
  readonly compression?: CompressionMethod | undefined;
}

/** The `nar/…` objects of a cache: written, read and checked as streams, in constant memory. */
export class StoredNars {
  readonly #objects: ObjectStore;
  readonly #settings: CacheSettings;
  readonly #logger: Logger;
  /** Bytes of files that are a frame as it was received, by key: what was decoded and hashed here can be sent as it is. */
  readonly #frames = new BoundedMap<string, number>({ capacity: knownFrames, evictBy: "use" });
  /** By key. Their names do not appear before the NAR is stored. */
  readonly #staged = new Map<string, NarStage>();

  constructor(objects: ObjectStore, settings: CacheSettings, logger: Logger) {
    this.#objects = objects;
    this.#settings = settings;
    this.#logger = logger;
  }

  /** The uncompressed NAR. @throws BinaryCacheError (`missing`) */
  async *open(
    info: Pick<NarInfo, "path" | "url" | "compression" | "narSize">,
    options: ReadOptions,
  ): AsyncGenerator<Uint8Array> {
    const method = parseCompressionMethod(info.compression);
    if (method === undefined) {
      throw new BinaryCacheError(
        "unavailable",
        `${info.path}: compression '${info.compression}' is not known`,
      );
    }
    const object = await this.#objects.get(info.url, options);
    if (object === undefined) throw missingObject(this.#objects.name, info.url);
    yield* decompress(object.body, { method, maxOutput: oneMoreThan(info), signal: options.signal });
  }

  /**
   * Begins to write a NAR that is being received as a zstd frame. Undefined when another one of its contents is staged, or
   * the settings ask for what has to be compressed once more.
   */
  stage(info: ValidPathInfo, key: string, options: { readonly listing: boolean }): NarStage | undefined {
    const form = stagedForm(this.#settings);
    if (form === undefined || this.#staged.has(key)) return undefined;
    const stage = new NarStage({
      ...options,
      info,
      key,
      form,
      objects: this.#objects,
      onEnd: () => this.#staged.delete(key),
    });
    this.#staged.set(key, stage);
    return stage;
  }

  /**
   * Writes the NAR, unless it is staged or a sound one is there; that one is then measured. `use` is called as soon as the
   * NAR is known, while its file may still be on its way to the disk; once more when another one got the name first.
   *
   * @throws BinaryCacheError (`mismatch`); what `use` throws
   */
  async store(
    info: ValidPathInfo,
    key: string,
    openNar: OpenNar,
    options: StoreNarOptions,
    use: UseNar,
  ): Promise<void> {
    const { signal, repair } = options;
    const staged = this.#staged.get(key);
    if (!repair && staged?.complete === true) {
      const committed = await staged.commit();
      if (committed !== undefined && staged.form === "frame") this.#frames.set(key, committed.fileSize);
      if (committed !== undefined) return use(committed, isThere);
      signal?.throwIfAborted();
    }
    // Two store paths can have the same contents, and an upload that broke off may have left its NAR behind. Who reads
    // the older narinfo relies on the hash of the file, so a sound NAR is never replaced.
    const present = !repair && (await this.#objects.head(key, options)) !== undefined;
    if (present) {
      const found = await this.ifReusable(key, signal, () => this.#adopt(info, key, options));
      if (found !== undefined) return use(found, isThere);
    }
    const ifAbsent = !repair && !present;
    try {
      const { named, ...nar } = await this.#write(info, key, openNar, ifAbsent, options);
      return await use(nar, named);
    } catch (error) {
      if (!(error instanceof NameTaken)) throw error;
    }
    const found = await this.#adopt(info, key, options);
    if (found === undefined) throw missingObject(this.#objects.name, key);
    return use(found, isThere);
  }

  /**
   * The file of a NAR that was staged: one zstd frame with a window of at most 8 MiB. Undefined for any other NAR, and when
   * the file is gone or has changed since.
   */
  async openFrame(key: string, options: ReadOptions): Promise<AsyncIterable<Uint8Array> | undefined> {
    const size = this.#frames.get(key);
    if (size === undefined) return undefined;
    const facts = await this.#objects.head(key, options);
    if (facts?.size !== size) return undefined;
    return (await this.#objects.get(key, options))?.body;
  }

  /** What `read` gives of the NAR; undefined, with a warning, when it is damaged and has to be replaced. */
  async ifReusable<T>(
    key: string,
    signal: AbortSignal | undefined,
    read: () => Promise<T | undefined>,
  ): Promise<T | undefined> {
    try {
      return await read();
    } catch (error) {
      signal?.throwIfAborted();
      const cache = this.#objects.name;
      this.#logger.warn("a stored NAR is unusable and will be replaced", { key, cache, error });
      return undefined;
    }
  }

  /** Size and hash of a stored NAR, whose contents are checked on the way. Undefined when there is none. */
  async verify(info: ValidPathInfo, key: string, options: VerifyOptions): Promise<StoredNar | undefined> {
    const object = await this.#objects.get(key, options);
    if (object === undefined) return undefined;
    const meter = new FileMeter();
    const inspection = options.inspection ?? new NarInspection(info, { listing: false });
    const method = options.compression ?? this.#settings.compression;
    const nar = decompress(meter.pass(object.body), {
      method,
      maxOutput: oneMoreThan(info),
      signal: options.signal,
    });
    for await (const _ of inspection.pass(nar));
    return { fileHash: meter.finish(), fileSize: meter.size };
  }

  async #adopt(info: ValidPathInfo, key: string, { listing, signal }: StoreNarOptions) {
    const inspection = new NarInspection(info, { listing });
    const stored = await this.verify(info, key, { signal, inspection });
    return stored === undefined ? undefined : { inspection, ...stored };
  }

  /** Resolves when all of the NAR has passed. @throws NameTaken, also by `named` */
  async #write(
    info: ValidPathInfo,
    key: string,
    openNar: OpenNar,
    ifAbsent: boolean,
    { listing, signal }: StoreNarOptions,
  ): Promise<MeasuredNar & { readonly named: Promise<void> }> {
    const inspection = new NarInspection(info, { listing });
    const meter = new FileMeter();
    const { compression: method, compressionLevel: level, parallelCompression: parallel } = this.#settings;
    const opened = openNar(info.path, signal, info);
    // Without a compressor, the pieces themselves are written, and may wait for that.
    const nar = inspection.pass(method === "none" ? opened : lentPieces(opened));
    const sizeHint = info.narSize;
    const file = meter.pass(compress(nar, { method, level, parallel, sizeHint, signal }));
    let named: Promise<void> = isThere;
    await new Promise<void>((resolve, reject) => {
      const put = this.#objects.put(key, toItsEnd(file, resolve), {
        contentType: contentTypes.nar,
        ifAbsent,
        sizeHint,
        signal,
      });
      named = put.then((result) => {
        if (result === "present") throw new NameTaken();
      });
      named.catch(reject);
    });
    return { inspection, fileHash: meter.finish(), fileSize: meter.size, named };
  }
}

const isThere = Promise.resolve();

/** Another file got the name first; it need not be the same. */
class NameTaken extends Error {
  constructor() {
    super("another file of this name was written meanwhile");
  }
}

/** Passes pieces on; `onEnd` is called after the last one was taken. */
async function* toItsEnd(pieces: AsyncIterable<Uint8Array>, onEnd: () => void): AsyncGenerator<Uint8Array> {
  yield* pieces;
  onEnd();
}

/** Level at which builders compress what they send. */
const sentLevel = 3;

function stagedForm({ compression, compressionLevel }: CacheSettings): StagedForm | undefined {
  if (compression === "none") return "plain";
  return compression === "zstd" && (compressionLevel ?? sentLevel) <= sentLevel ? "frame" : undefined;
}

/** The bytes to decode at most: a reader that counts sees that a NAR is longer than promised. */
function oneMoreThan({ narSize }: Pick<ValidPathInfo, "narSize">): number {
  return narSize + 1;
}
