/** Opens binary caches from their URIs. */
import {
  aFunction,
  aLogger,
  anObject,
  aSignal,
  aText,
  checkArgument,
  checkMembers,
  optional,
} from "../argument-checks.js";
import { withSignal } from "../async/index.js";
import { UsageError } from "../errors.js";
import { type Logger, silentLogger } from "../log.js";
import { Signer } from "../nix/cache/signer.js";
import { defaultStoreDir, type StoreDir } from "../nix/path/store-path.js";
import { BinaryCache } from "./cache/binary-cache.js";
import { wrongStore } from "./cache/cache-info.js";
import { parseCacheUri } from "./cache-uri.js";
import { BinaryCacheError } from "./errors.js";
import { FileCache } from "./objects/file-cache.js";
import { anObjectStore, type ObjectStore } from "./objects/object-store.js";
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

const openRules = {
  storeDir: optional(aText),
  logger: optional(aLogger),
  credentials: optional(anObject),
  signal: optional(aSignal),
  now: optional(aFunction),
};

/**
 * Opens `s3://…` or `file://…`: reads the signing keys, and checks `nix-cache-info` or writes it when it is missing.
 * Builders can upload into a bucket (`BinaryCache.presigned`). A store that does not answer is not an error here; it is
 * asked again at each use.
 *
 * @throws BinaryCacheError (`settings`, `wrong-store`), UsageError for a key file that cannot be used
 */
export async function openBinaryCache(uri: string, options: OpenCacheOptions = {}): Promise<BinaryCache> {
  checkMembers("openBinaryCache", options, openRules);
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
    return confirm(new BinaryCache({ ...common, objects }), logger, signal);
  }
  const objects = new S3Uploader(settings, { credentials });
  try {
    return await confirm(new BinaryCache({ ...common, objects, bucket: objects }), logger, signal);
  } catch (error) {
    objects.close();
    throw error;
  }
}

/**
 * A binary cache on a custom object store. `parameters`: those of a cache URI, such as
 * `compression=zstd&secret-key=/etc/key`. Otherwise as `openBinaryCache`.
 *
 * @throws BinaryCacheError (`settings`, `wrong-store`), UsageError for a key file that cannot be used
 */
export async function binaryCacheOn(
  objects: ObjectStore,
  parameters = "",
  options: Omit<OpenCacheOptions, "credentials"> = {},
): Promise<BinaryCache> {
  checkArgument("binaryCacheOn", "objects", objects, anObjectStore);
  checkArgument("binaryCacheOn", "parameters", parameters, aText);
  checkMembers("binaryCacheOn", options, openRules);
  const { storeDir = defaultStoreDir, logger = silentLogger, signal, now } = options;
  const parsed = parseCacheUri(`file:///own?${parameters}`);
  const settings = { ...parsed.settings, place: objects.name };
  for (const warning of parsed.warnings) {
    logger.warn("binary cache parameters", { cache: objects.name, warning });
  }
  const signers: Signer[] = [];
  for (const file of settings.secretKeyFiles) signers.push(await Signer.fromFile(file));
  const uri = `own:${objects.name}`;
  return confirm(new BinaryCache({ uri, settings, storeDir, signers, logger, now, objects }), logger, signal);
}

/** How long the opening of a cache waits for its store to answer, in milliseconds. */
const openPatienceMs = 3_500;

/** What does not answer in time is asked again later; see `BinaryCache.confirmed`. */
async function confirm(
  cache: BinaryCache,
  logger: Logger,
  signal: AbortSignal | undefined,
): Promise<BinaryCache> {
  const patience = AbortSignal.timeout(openPatienceMs);
  const over = signal === undefined ? patience : AbortSignal.any([signal, patience]);
  try {
    await withSignal(cache.confirm({ signal: over }), over);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof UsageError || (error instanceof BinaryCacheError && error.code === "wrong-store"))
      throw error;
    logger.warn("the binary cache could not be checked", { cache: cache.name, error });
  }
  return cache;
}
