/** Opens binary caches from their URIs. */
import { UsageError } from "../errors.js";
import { type Logger, silentLogger } from "../log.js";
import { Signer } from "../nix/cache/signer.js";
import { defaultStoreDir, type StoreDir } from "../nix/path/store-path.js";
import { BinaryCache } from "./cache/binary-cache.js";
import { type CacheSettings, parseCacheUri } from "./cache-uri.js";
import { BinaryCacheError } from "./errors.js";
import { cacheInfoKey, contentTypes } from "./layout.js";
import { collect } from "./objects/byte-streams.js";
import { FileCache } from "./objects/file-cache.js";
import type { ObjectStore } from "./objects/object-store.js";
import type { S3Credentials } from "./objects/s3-connection.js";
import { S3Uploader } from "./objects/s3-uploader.js";

/** What a cache is opened with besides its URI. */
export interface OpenCacheOptions {
  /** Default `/nix/store`. */
  readonly storeDir?: StoreDir | undefined;
  readonly logger?: Logger | undefined;
  /** Instead of those of the environment and of the profile. */
  readonly credentials?: S3Credentials | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds since the epoch. */
  readonly now?: (() => number) | undefined;
}

/**
 * Opens `s3://…` or `file://…`: reads the signing keys, and checks `nix-cache-info` or writes it when it is missing.
 * Builders can upload into a bucket (`BinaryCache.presigned`). A store that does not answer is not an error here; it is
 * asked again at each use.
 *
 * @throws BinaryCacheError (`settings`, `wrong-store`), UsageError for a key file that cannot be used
 */
export async function openBinaryCache(uri: string, options: OpenCacheOptions = {}): Promise<BinaryCache> {
  const { storeDir = defaultStoreDir, logger = silentLogger, credentials, signal, now } = options;
  const { settings, warnings } = parseCacheUri(uri);
  for (const warning of warnings) logger.warn("binary cache URI", { cache: settings.place, warning });
  if (settings.storeDir !== undefined && settings.storeDir !== storeDir) {
    throw wrongStore(settings.place, settings.storeDir, storeDir);
  }
  const signers: Signer[] = [];
  for (const file of settings.secretKeyFiles) signers.push(await Signer.fromFile(file));
  const common = { uri, settings, storeDir, signers, logger, now };
  if (settings.kind === "file") {
    const objects = new FileCache(settings.place);
    await checkCacheInfo(objects, settings, storeDir, logger, signal);
    return new BinaryCache({ ...common, objects });
  }
  const objects = new S3Uploader(settings, { credentials });
  try {
    await checkCacheInfo(objects, settings, storeDir, logger, signal);
  } catch (error) {
    objects.close();
    throw error;
  }
  return new BinaryCache({ ...common, objects, bucket: objects });
}

async function checkCacheInfo(
  objects: ObjectStore,
  settings: CacheSettings,
  storeDir: StoreDir,
  logger: Logger,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    const found = await objects.get(cacheInfoKey, { signal });
    if (found === undefined) {
      const lines = [`StoreDir: ${storeDir}`];
      if (settings.wantMassQuery !== undefined)
        lines.push(`WantMassQuery: ${settings.wantMassQuery ? 1 : 0}`);
      if (settings.priority !== undefined) lines.push(`Priority: ${settings.priority}`);
      const body = Buffer.from(`${lines.join("\n")}\n`);
      await objects.put(cacheInfoKey, body, { contentType: contentTypes.cacheInfo, ifAbsent: true, signal });
      return;
    }
    const text = (await collect(found.body, 1 << 20)).toString();
    const theirs = /^StoreDir:[ \t]*(.*?)[ \t]*$/m.exec(text)?.[1];
    if (theirs !== undefined && theirs !== storeDir) throw wrongStore(objects.name, theirs, storeDir);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof UsageError || (error instanceof BinaryCacheError && error.code === "wrong-store"))
      throw error;
    logger.warn("the binary cache does not answer as it should", { cache: objects.name, error });
  }
}

function wrongStore(place: string, theirs: string, ours: string): BinaryCacheError {
  return new BinaryCacheError(
    "wrong-store",
    `the binary cache ${place} is for the store ${theirs}, but this is ${ours}: use another cache`,
    { store: place },
  );
}
