/** Signs the URLs for one path: its NAR in parts, its listing, its debug links. */

import { mapLimited } from "../../async/index.js";
import type { CacheSettings } from "../cache-uri.js";
import { contentTypes, debugInfoKey, listingKey, narKey } from "../layout.js";
import type { ReadOptions } from "../objects/object-store.js";
import type { S3Uploader } from "../objects/s3-uploader.js";
import { partPlan } from "./part-plan.js";
import type { PresignedNarUrls, PresignedObject, PresignRequest } from "./types.js";

const headsAtOnce = 10;

/** `onBegun` hears of the upload in parts as soon as the bucket has it. */
export async function presignNar(
  bucket: S3Uploader,
  settings: CacheSettings,
  request: PresignRequest,
  onBegun: (key: string, uploadId: string) => void,
  options: ReadOptions,
): Promise<PresignedNarUrls> {
  const { compression, compressionLevel, lsCompression, presignedUrlExpiry, writeNarListing } = settings;
  const key = narKey(request.narHash, compression);
  const level = compressionLevel ?? 0;
  const upload = async (path: string, method: string, strength: number): Promise<PresignedObject> => ({
    path,
    url: await bucket.presignPut(path, presignedUrlExpiry),
    compression: method,
    compressionLevel: strength,
    multipart: undefined,
  });
  const narUpload = await upload(key, compression, level);
  // Always in parts: some builders put a wrong Content-Encoding on a NAR sent whole.
  const uploadId = await bucket.multipart.create(key, {
    contentType: contentTypes.nar,
    signal: options.signal,
  });
  onBegun(key, uploadId);
  const plan = partPlan(request.narSize);
  const parts = await bucket.multipart.presignParts({
    key,
    uploadId,
    firstPart: 1,
    count: plan.parts,
    expiresIn: presignedUrlExpiry,
  });
  const lsUpload = writeNarListing ? await upload(listingKey(request.path), lsCompression, level) : undefined;
  const debugInfoUploads: PresignedObject[] = [];
  if (settings.writeDebugInfo && (await lacksDebugInfo(bucket, request.debugInfoBuildIds, options))) {
    for (const id of request.debugInfoBuildIds) {
      debugInfoUploads.push(await upload(debugInfoKey(id), "none", 0));
    }
  }
  return {
    path: request.path,
    narUrl: key,
    narUpload: { ...narUpload, multipart: { uploadId, partSize: plan.partSize, parts } },
    lsUpload,
    debugInfoUploads,
  };
}

/** A builder wants a URL for each of its ids or for none, so one that is missing is enough. */
async function lacksDebugInfo(
  bucket: S3Uploader,
  ids: readonly string[],
  options: ReadOptions,
): Promise<boolean> {
  let lacking = false;
  await mapLimited(ids, headsAtOnce, async (id) => {
    if (!lacking && (await bucket.head(debugInfoKey(id), options)) === undefined) lacking = true;
  });
  return lacking;
}
