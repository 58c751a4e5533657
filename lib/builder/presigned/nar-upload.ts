/** One store path to presigned URLs: its NAR, and its listing and debug links where the runner wants them. */
import { mapLimited } from "../../async/index.js";
import { type CompressionMethod, compress, parseCompressionMethod } from "../../compression/index.js";
import { findDebugInfo, printDebugInfoLink } from "../../nix/nar/debug-info.js";
import { type NarListing, printListing } from "../../nix/nar/listing.js";
import { createHasher, type Hash, hashesEqual } from "../../nix/path/hash.js";
import type { ValidPathInfo } from "../../nix/store/path-info.js";
import type { ByteStream } from "../../nix/store/store.js";
import type { MultipartCompletion, PresignedUpload } from "../../rpc/types.js";
import { SpoolFile } from "../build/spool-file.js";
import { MultipartUpload } from "./multipart-upload.js";
import { tapListing } from "./nar-listing-tap.js";
import { bytesBody, putObject } from "./put-object.js";
import type { PresignedTarget } from "./target.js";
import type { UploadRetries } from "./upload-retries.js";

const linksAtOnce = 25;
const debugInfoPrefix = "debuginfo/";

/**
 * What became of a NAR: hash and size in bytes of the compressed file, and the parts to be completed by the runner.
 * `alreadyPresent`: the bucket had the object, so nothing was stored.
 */
export interface UploadedNar {
  /** Of the compressed file. */
  readonly fileHash: Hash;
  readonly fileSize: number;
  readonly multipart: MultipartCompletion | undefined;
  readonly alreadyPresent: boolean;
}

/** The path to upload, and where to; `nar` is its uncompressed NAR, read once, whose pieces may be lent. */
export interface PresignedNarOptions {
  readonly info: ValidPathInfo;
  readonly target: PresignedTarget;
  readonly nar: ByteStream;
  readonly spoolDirectory: string;
  readonly retries?: UploadRetries | undefined;
  readonly signal: AbortSignal;
}

/** Uploads everything that belongs to the path, in one pass over its NAR. */
export async function uploadPresignedNar(options: PresignedNarOptions): Promise<UploadedNar> {
  const { target, spoolDirectory, retries, signal } = options;
  const { narUpload } = target.nar;
  const spool = await SpoolFile.create(spoolDirectory);
  const { multipart } = narUpload;
  const parts =
    multipart === undefined
      ? undefined
      : new MultipartUpload({ ...options, upload: { ...narUpload, multipart }, spool });
  try {
    const { listing, fileHash } = await spoolNar(options, spool, () => parts?.grown());
    if (listing !== undefined) await uploadDescriptions(options, listing);
    const file = { fileHash, fileSize: spool.size };
    if (parts !== undefined) return { ...file, multipart: await parts.finish(), alreadyPresent: false };
    const { alreadyPresent } = await putObject(target.whole(narUpload), spool.range(0, spool.size), {
      headers: { "Content-Type": "application/x-nix-nar" },
      ifAbsent: true,
      retries,
      signal,
    });
    return { ...file, multipart: undefined, alreadyPresent };
  } finally {
    await parts?.settled();
    await spool.close();
  }
}

async function spoolNar(
  { info, target, nar, signal }: PresignedNarOptions,
  spool: SpoolFile,
  onGrowth: () => void,
): Promise<{ readonly listing: NarListing | undefined; readonly fileHash: Hash }> {
  const contents = createHasher("sha256");
  const file = createHasher("sha256");
  let listing: NarListing | undefined;
  let narSize = 0;
  async function* hashed(): ByteStream {
    for await (const chunk of nar) {
      contents.update(chunk);
      narSize += chunk.length;
      yield chunk;
    }
  }
  const { narUpload, lsUpload, debugInfoUploads } = target.nar;
  const described = lsUpload !== undefined || debugInfoUploads.length > 0;
  const plain = described
    ? tapListing(hashed(), (found) => {
        listing = found;
      })
    : hashed();
  for await (const chunk of compress(plain, { ...codecOf(narUpload), sizeHint: info.narSize, signal })) {
    file.update(chunk);
    await spool.append(chunk);
    onGrowth();
  }
  if (narSize !== info.narSize || !hashesEqual(contents.finish(), info.narHash)) {
    throw new Error(`the contents of ${info.path} are not what the store has registered; is the disk sound?`);
  }
  return { listing, fileHash: file.finish() };
}

async function uploadDescriptions(options: PresignedNarOptions, listing: NarListing): Promise<void> {
  const { lsUpload, debugInfoUploads, narUrl } = options.target.nar;
  if (lsUpload !== undefined) await putJson(options, lsUpload, printListing(listing));
  const uploads = new Map(debugInfoUploads.map((upload) => [upload.path, upload]));
  // The runner leaves out ids that are there already.
  const wanted = findDebugInfo(listing).flatMap(({ buildId, member }) => {
    const upload = uploads.get(debugInfoPrefix + buildId);
    return upload === undefined ? [] : [{ upload, body: printDebugInfoLink(narUrl, member) }];
  });
  await mapLimited(wanted, linksAtOnce, ({ upload, body }) => putJson(options, upload, body), options.signal);
}

async function putJson(
  { target, retries, signal }: PresignedNarOptions,
  upload: PresignedUpload,
  text: string,
): Promise<void> {
  async function* source(): ByteStream {
    yield Buffer.from(text, "utf8");
  }
  const codec = codecOf(upload);
  const chunks: Uint8Array[] = [];
  for await (const chunk of compress(source(), { ...codec, signal })) chunks.push(chunk);
  await putObject(target.whole(upload), bytesBody(Buffer.concat(chunks)), {
    headers: {
      "Content-Type": "application/json",
      ...(codec.method === "none" ? {} : { "Content-Encoding": codec.method }),
    },
    retries,
    signal,
  });
}

/** The runner writes its own word into the narinfo, so a word that we do not know must not pass as "none". */
function codecOf(upload: PresignedUpload): { readonly method: CompressionMethod; readonly level?: number } {
  const method = parseCompressionMethod(upload.compression);
  if (method === undefined)
    throw new Error(`the runner wants the unknown compression '${upload.compression}'`);
  return upload.compressionLevel > 0 ? { method, level: upload.compressionLevel } : { method };
}
