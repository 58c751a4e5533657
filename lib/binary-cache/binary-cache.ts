/** One binary cache: reads it, and writes store paths into it in the order that keeps it whole at every moment. */
import {
  type CompressionMethod,
  compress,
  decompress,
  parseCompressionMethod,
} from "../compression/index.js";
import { type Logger, silentLogger } from "../log.js";
import { findDebugInfo, printDebugInfoLink } from "../nix/debug-info.js";
import type { Hash } from "../nix/hash.js";
import { type NarInfo, parseNarInfo, printNarInfo } from "../nix/nar-info.js";
import { type NarListing, printListing } from "../nix/nar-listing.js";
import { parseListing } from "../nix/nar-listing-parser.js";
import type { ValidPathInfo } from "../nix/path-info.js";
import {
  buildTraceObject,
  printBuildTrace,
  printRealisation,
  type RealisationKey,
  realisationFingerprint,
  realisationObject,
} from "../nix/realisation.js";
import { pathFingerprint, type Signer } from "../nix/signer.js";
import type { StoreDir, StorePath } from "../nix/store-path.js";
import { collect, forEachLimited, oneChunk } from "./byte-streams.js";
import type { CacheSettings } from "./cache-uri.js";
import { BinaryCacheError } from "./errors.js";
import { contentTypes, debugInfoKey, listingKey, logKey, narInfoKey, narKey } from "./layout.js";
import { FileMeter, NarInspection } from "./nar-inspection.js";
import type { ObjectStore, ReadOptions } from "./object-store.js";
import { PresenceCache } from "./presence-cache.js";
import type { TrafficReport } from "./traffic.js";

/** `unknown`: the cache could not be asked. It stands for neither answer. */
export type Presence = "present" | "absent" | "unknown";

export interface BinaryCacheOptions {
  /** As configured. */
  readonly uri: string;
  readonly objects: ObjectStore;
  readonly settings: CacheSettings;
  readonly storeDir: StoreDir;
  readonly signers: readonly Signer[];
  readonly logger?: Logger | undefined;
  /** Milliseconds since the epoch. */
  readonly now?: (() => number) | undefined;
}

export interface UploadOptions extends ReadOptions {
  /** Write everything again even if it is there. Default false. */
  readonly repair?: boolean | undefined;
  /** Awaited after everything else is written and before the narinfo makes the path visible. */
  readonly beforePublish?: (() => Promise<void>) | undefined;
}

/** Gives the NAR of a path, from its beginning, each time it is called. */
export type OpenNar = (path: StorePath, signal?: AbortSignal) => AsyncIterable<Uint8Array>;

const headsAtOnce = 50;
const linksAtOnce = 25;
/** Paths of one closure in transfer. */
const pathsAtOnce = 10;

export class BinaryCache {
  readonly uri: string;
  readonly objects: ObjectStore;
  readonly settings: CacheSettings;
  readonly storeDir: StoreDir;
  readonly signers: readonly Signer[];
  readonly #logger: Logger;
  readonly #presence: PresenceCache;
  /** Paths being written: whoever else wants the same waits for it. */
  readonly #writing = new Map<StorePath, Promise<"uploaded" | "present">>();

  constructor(options: BinaryCacheOptions) {
    this.uri = options.uri;
    this.objects = options.objects;
    this.settings = options.settings;
    this.storeDir = options.storeDir;
    this.signers = options.signers;
    this.#logger = options.logger ?? silentLogger;
    this.#presence = new PresenceCache(options.settings.presenceTtl, options.now);
  }

  /** Bucket, or folder. */
  get name(): string {
    return this.objects.name;
  }

  traffic(): TrafficReport {
    return this.objects.traffic.report(this.name);
  }

  close(): void {
    this.objects.close();
  }

  /** Asks for many paths, 50 at a time. Never throws but for `signal`. */
  async hasNarInfos(
    paths: Iterable<StorePath>,
    options: ReadOptions = {},
  ): Promise<Map<StorePath, Presence>> {
    const answers = new Map<StorePath, Presence>();
    for (const path of paths) answers.set(path, this.#presence.has(path) ? "present" : "unknown");
    const open = [...answers].filter(([, answer]) => answer === "unknown").map(([path]) => path);
    let failures = 0;
    let failure: unknown;
    await forEachLimited(open, headsAtOnce, async (path) => {
      options.signal?.throwIfAborted();
      try {
        const found = await this.objects.head(narInfoKey(path), options);
        if (found !== undefined) this.#presence.add(path);
        answers.set(path, found === undefined ? "absent" : "present");
      } catch (error) {
        options.signal?.throwIfAborted();
        failures += 1;
        failure ??= error;
      }
    });
    if (failures > 0) {
      this.#logger.warn("cannot ask the binary cache for paths", {
        cache: this.name,
        failures,
        error: failure,
      });
    }
    return answers;
  }

  /** @throws BinaryCacheError, NixFormatError */
  async narInfo(path: StorePath, options: ReadOptions = {}): Promise<NarInfo | undefined> {
    const text = await this.#readText(narInfoKey(path), this.settings.narinfoCompression, options);
    if (text === undefined) {
      this.#presence.forget(path);
      return undefined;
    }
    const info = parseNarInfo(this.storeDir, text);
    this.#presence.add(path);
    return info;
  }

  /** What is in a path, where the cache has a listing. @throws BinaryCacheError, NixFormatError */
  async listing(path: StorePath, options: ReadOptions = {}): Promise<NarListing | undefined> {
    const text = await this.#readText(listingKey(path), this.settings.lsCompression, options);
    return text === undefined ? undefined : parseListing(text);
  }

  /** The uncompressed NAR; whoever reads it compares size and hash. @throws BinaryCacheError (`missing`) */
  async *openNar(
    info: Pick<NarInfo, "path" | "url" | "compression">,
    options: ReadOptions = {},
  ): AsyncGenerator<Uint8Array> {
    const method = parseCompressionMethod(info.compression);
    if (method === undefined) {
      throw new BinaryCacheError(
        "unavailable",
        `${info.path}: compression '${info.compression}' is not known`,
      );
    }
    const object = await this.objects.get(info.url, options);
    if (object === undefined) throw this.missing(info.url);
    yield* decompress(object.body, { method, signal: options.signal });
  }

  /**
   * Writes one path: NAR, listing, debug links, and at last the narinfo, signed with our keys. The bytes of the NAR are
   * compared with what `info` promises before anything is signed. Calling it again does no harm.
   *
   * @throws BinaryCacheError (`mismatch` when the NAR is not what `info` says); what `openNar` throws
   */
  async uploadPath(
    info: ValidPathInfo,
    openNar: OpenNar,
    options: UploadOptions = {},
  ): Promise<"uploaded" | "present"> {
    const running = this.#writing.get(info.path);
    if (running !== undefined) {
      // Should that one fail, it is this caller's turn.
      const result = await running.catch(() => undefined);
      options.signal?.throwIfAborted();
      return result ?? (await this.uploadPath(info, openNar, options));
    }
    const task = this.#upload(info, openNar, options).finally(() => this.#writing.delete(info.path));
    this.#writing.set(info.path, task);
    return task;
  }

  /**
   * Writes what the cache lacks of a closure, given references first. Narinfos appear after those of their references.
   *
   * @throws as `uploadPath`; the first error stops the rest
   */
  async uploadClosure(
    closure: readonly ValidPathInfo[],
    openNar: OpenNar,
    options: UploadOptions & { readonly concurrency?: number | undefined } = {},
  ): Promise<{ readonly uploaded: readonly StorePath[] }> {
    const present = await this.hasNarInfos(
      closure.map(({ path }) => path),
      options,
    );
    const wanted = closure.filter(({ path }) => options.repair === true || present.get(path) !== "present");
    const published = new Map<StorePath, Promise<unknown>>();
    const uploaded: StorePath[] = [];
    let failure: { readonly error: unknown } | undefined;
    await forEachLimited(wanted, options.concurrency ?? pathsAtOnce, async (info) => {
      // Whoever waits, waits only for those that have begun, so nobody waits in a circle.
      const earlier = info.references.flatMap((reference) => published.get(reference) ?? []);
      const beforePublish = async (): Promise<void> => {
        await Promise.all(earlier);
        if (failure !== undefined) throw failure.error;
        await options.beforePublish?.();
      };
      const upload = this.uploadPath(info, openNar, { ...options, beforePublish });
      const settled = upload.catch((error: unknown) => {
        failure ??= { error };
      });
      published.set(info.path, settled);
      if ((await upload) === "uploaded") uploaded.push(info.path);
    });
    return { uploaded };
  }

  /** Writes the log of a derivation, over one that is there. */
  async putLog(drv: StorePath, log: AsyncIterable<Uint8Array>, options: ReadOptions = {}): Promise<void> {
    const method = this.#encoding(this.settings.logCompression);
    const { compressionLevel: level } = this.settings;
    await this.objects.put(logKey(drv), compress(log, { method, level, signal: options.signal }), {
      contentType: contentTypes.log,
      contentEncoding: contentEncoding(method),
      signal: options.signal,
    });
  }

  /** States, signed with our keys, where an output is; in the layout of queue-runners and in that of newer Nix. */
  async putRealisation(
    realisation: RealisationKey & { readonly outPath: StorePath },
    options: ReadOptions = {},
  ): Promise<void> {
    const fingerprint = realisationFingerprint(realisation);
    const signatures = this.signers.map((signer) => signer.sign(fingerprint));
    const put = async (key: string, text: string): Promise<void> => {
      await this.objects.put(key, Buffer.from(text), {
        contentType: contentTypes.json,
        signal: options.signal,
      });
    };
    await put(realisationObject(realisation), printRealisation({ ...realisation, signatures }));
    await put(buildTraceObject(realisation), printBuildTrace({ outPath: realisation.outPath, signatures }));
  }

  /** Signs and writes a narinfo; its NAR must be there. */
  async publish(info: NarInfo, options: ReadOptions = {}): Promise<void> {
    const fingerprint = pathFingerprint(this.storeDir, info);
    const signatures = this.signers.map((signer) => signer.sign(fingerprint));
    const signed = { ...info, signatures: signatures.length > 0 ? signatures : info.signatures };
    const text = printNarInfo(this.storeDir, signed);
    await this.#putText(
      narInfoKey(info.path),
      text,
      this.settings.narinfoCompression,
      contentTypes.narInfo,
      options,
    );
    this.#presence.add(info.path);
  }

  /** Size and hash of a stored NAR, whose contents are checked on the way. Undefined when there is none. */
  async verifyStoredNar(
    info: ValidPathInfo,
    key: string,
    options: ReadOptions & { readonly inspection?: NarInspection } = {},
  ): Promise<{ readonly fileHash: Hash; readonly fileSize: number } | undefined> {
    const object = await this.objects.get(key, options);
    if (object === undefined) return undefined;
    const meter = new FileMeter();
    const inspection = options.inspection ?? new NarInspection(info, { listing: false });
    const method = this.settings.compression;
    const nar = decompress(meter.pass(object.body), { method, signal: options.signal });
    for await (const _ of inspection.pass(nar));
    return { fileHash: meter.finish(), fileSize: meter.size };
  }

  missing(key: string): BinaryCacheError {
    return new BinaryCacheError("missing", `'${key}' is not in the binary cache ${this.name}`, {
      store: this.name,
      key,
    });
  }

  async #upload(
    info: ValidPathInfo,
    openNar: OpenNar,
    options: UploadOptions,
  ): Promise<"uploaded" | "present"> {
    const { signal, repair = false } = options;
    signal?.throwIfAborted();
    if (
      !repair &&
      (this.#presence.has(info.path) ||
        (await this.objects.head(narInfoKey(info.path), options)) !== undefined)
    ) {
      this.#presence.add(info.path);
      return "present";
    }
    const { compression: method, writeNarListing, writeDebugInfo } = this.settings;
    const url = narKey(info.narHash, method);
    const wantsListing = writeNarListing || writeDebugInfo;
    const { inspection, fileHash, fileSize } = await this.#storeNar(
      info,
      url,
      openNar,
      wantsListing,
      options,
    );
    const { listing, listingFault } = inspection;
    if (listingFault !== undefined) {
      this.#logger.warn("no listing can be made of a path", { path: info.path, error: listingFault });
    }
    if (listing !== undefined && writeNarListing) {
      const text = printListing(listing);
      await this.#putText(
        listingKey(info.path),
        text,
        this.settings.lsCompression,
        contentTypes.json,
        options,
      );
    }
    if (listing !== undefined && writeDebugInfo) {
      await forEachLimited(findDebugInfo(listing), linksAtOnce, async ({ buildId, member }) => {
        await this.objects.put(debugInfoKey(buildId), Buffer.from(printDebugInfoLink(url, member)), {
          contentType: contentTypes.json,
          ifAbsent: !repair,
          signal,
        });
      });
    }
    await options.beforePublish?.();
    await this.publish({ ...info, url, compression: method, fileHash, fileSize }, options);
    return "uploaded";
  }

  async #storeNar(
    info: ValidPathInfo,
    key: string,
    openNar: OpenNar,
    listing: boolean,
    options: UploadOptions,
  ): Promise<{ readonly inspection: NarInspection; readonly fileHash: Hash; readonly fileSize: number }> {
    const { signal, repair = false } = options;
    const adopt = async () => {
      const inspection = new NarInspection(info, { listing });
      const stored = await this.verifyStoredNar(info, key, { signal, inspection });
      return stored === undefined ? undefined : { inspection, ...stored };
    };
    const write = async (ifAbsent: boolean) => {
      const inspection = new NarInspection(info, { listing });
      const meter = new FileMeter();
      const { compression: method, compressionLevel: level, parallelCompression: parallel } = this.settings;
      const nar = inspection.pass(openNar(info.path, signal));
      const result = await this.objects.put(
        key,
        meter.pass(compress(nar, { method, level, parallel, signal })),
        {
          contentType: contentTypes.nar,
          ifAbsent,
          sizeHint: info.narSize,
          signal,
        },
      );
      return result === "present"
        ? undefined
        : { inspection, fileHash: meter.finish(), fileSize: meter.size };
    };
    // Two store paths can have the same contents, and an upload that broke off may have left its NAR behind. Who reads
    // the older narinfo relies on the hash of the file, so a sound NAR is never replaced.
    if (!repair && (await this.objects.head(key, options)) !== undefined) {
      const found = await adopt().catch((error: unknown) => {
        signal?.throwIfAborted();
        this.#logger.warn("a stored NAR is unusable and will be replaced", { key, cache: this.name, error });
        return undefined;
      });
      return found ?? required(await write(false), this.missing(key));
    }
    return (await write(!repair)) ?? required(await adopt(), this.missing(key));
  }

  /** A folder cannot say how its files are encoded. */
  #encoding(method: CompressionMethod): CompressionMethod {
    return this.objects.keepsEncoding ? method : "none";
  }

  async #putText(
    key: string,
    text: string,
    wanted: CompressionMethod,
    contentType: string,
    options: ReadOptions,
  ): Promise<void> {
    const method = this.#encoding(wanted);
    const { compressionLevel: level } = this.settings;
    const body = await collect(
      compress(oneChunk(Buffer.from(text)), { method, level, signal: options.signal }),
    );
    await this.objects.put(key, body, {
      contentType,
      contentEncoding: contentEncoding(method),
      signal: options.signal,
    });
  }

  async #readText(
    key: string,
    fallback: CompressionMethod,
    options: ReadOptions,
  ): Promise<string | undefined> {
    const object = await this.objects.get(key, options);
    if (object === undefined) return undefined;
    const named = object.contentEncoding;
    const method =
      named === undefined || named === "" ? this.#encoding(fallback) : parseCompressionMethod(named);
    if (method === undefined) {
      throw new BinaryCacheError(
        "unavailable",
        `'${key}' in ${this.name} has the unknown encoding '${named ?? ""}'`,
      );
    }
    return (await collect(decompress(object.body, { method, signal: options.signal }))).toString();
  }
}

function contentEncoding(method: CompressionMethod): string | undefined {
  return method === "none" ? undefined : method;
}

function required<T>(value: T | undefined, error: Error): T {
  if (value === undefined) throw error;
  return value;
}
