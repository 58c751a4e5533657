/** One store path to presigned URLs: its NAR, and its listing and debug links where the runner wants them. */
import { type CompressionMethod, compress, parseCompressionMethod } from "../compression/index.js";
import { findDebugInfo, printDebugInfoLink } from "../nix/debug-info.js";
import { createHasher, type Hash, hashesEqual } from "../nix/hash.js";
import { type NarListing, printListing } from "../nix/nar-listing.js";
import type { ValidPathInfo } from "../nix/path-info.js";
import type { ByteStream } from "../nix/store.js";
import type { MultipartCompletion, MultipartPart, PresignedNar, PresignedUpload } from "../rpc/types.js";
import { MultipartUpload } from "./multipart-upload.js";
import { tapListing } from "./nar-listing-tap.js";
import { bytesBody, putObject } from "./put-object.js";
import { Slots } from "./slots.js";
import { SpoolFile } from "./spool-file.js";

const linksAtOnce = 25;
const debugInfoPrefix = "debuginfo/";

export interface UploadedNar {
  /** Of the compressed file. */
  readonly fileHash: Hash;
  readonly fileSize: number;
  readonly multipart: MultipartCompletion | undefined;
  readonly alreadyPresent: boolean;
}

export interface PresignedNarOptions {
  readonly info: ValidPathInfo;
  readonly target: PresignedNar;
  readonly nar: ByteStream;
  readonly spoolDirectory: string;
  readonly requestParts: (start: number, count: number) => Promise<readonly MultipartPart[]>;
  readonly signal: AbortSignal;
}

/** Uploads everything that belongs to the path, in one pass over its NAR. */
export async function uploadPresignedNar(options: PresignedNarOptions): Promise<UploadedNar> {
  const { target, spoolDirectory, signal } = options;
  const spool = await SpoolFile.create(spoolDirectory);
  const { multipart } = target.narUpload;
  const parts =
    multipart === undefined
      ? undefined
      : new MultipartUpload({ ...options, upload: { ...target.narUpload, multipart }, spool });
  try {
    const { listing, fileHash } = await spoolNar(options, spool, () => parts?.grown());
    if (listing !== undefined) await uploadDescriptions(target, listing, signal);
    const file = { fileHash, fileSize: spool.size };
    if (parts !== undefined) return { ...file, multipart: await parts.finish(), alreadyPresent: false };
    const { alreadyPresent } = await putObject(target.narUpload.url, spool.range(0, spool.size), {
      headers: { "Content-Type": "application/x-nix-nar" },
      ifAbsent: true,
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
  const described = target.lsUpload !== undefined || target.debugInfoUploads.length > 0;
  const plain = described
    ? tapListing(hashed(), (found) => {
        listing = found;
      })
    : hashed();
  for await (const chunk of compress(plain, { ...codecOf(target.narUpload), signal })) {
    file.update(chunk);
    await spool.append(chunk);
    onGrowth();
  }
  if (narSize !== info.narSize || !hashesEqual(contents.finish(), info.narHash)) {
    throw new Error(`the contents of ${info.path} are not what the store has registered; is the disk sound?`);
  }
  return { listing, fileHash: file.finish() };
}

async function uploadDescriptions(
  target: PresignedNar,
  listing: NarListing,
  signal: AbortSignal,
): Promise<void> {
  if (target.lsUpload !== undefined) await putJson(target.lsUpload, printListing(listing), signal);
  const uploads = new Map(target.debugInfoUploads.map((upload) => [upload.path, upload]));
  // The runner leaves out ids that are there already.
  const wanted = findDebugInfo(listing).flatMap(({ buildId, member }) => {
    const upload = uploads.get(debugInfoPrefix + buildId);
    return upload === undefined ? [] : [{ upload, body: printDebugInfoLink(target.narUrl, member) }];
  });
  await new Slots(linksAtOnce).map(wanted, ({ upload, body }) => putJson(upload, body, signal), signal);
}

async function putJson(upload: PresignedUpload, text: string, signal: AbortSignal): Promise<void> {
  async function* source(): ByteStream {
    yield Buffer.from(text, "utf8");
  }
  const codec = codecOf(upload);
  const chunks: Uint8Array[] = [];
  for await (const chunk of compress(source(), { ...codec, signal })) chunks.push(chunk);
  await putObject(upload.url, bytesBody(Buffer.concat(chunks)), {
    headers: {
      "Content-Type": "application/json",
      ...(codec.method === "none" ? {} : { "Content-Encoding": codec.method }),
    },
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
