// A builder of presigned uploads, reduced to its HTTP requests.
import type { PresignedNarUrls } from "../../lib/binary-cache/index.js";
import { compress } from "../../lib/compression/index.js";
import type { NarInfo } from "../../lib/nix/cache/nar-info.js";
import { hashBytes } from "../../lib/nix/path/hash.js";
import { bytesOf, narsOf, type Sample } from "./samples.js";

export async function put(url: string, body: Uint8Array): Promise<string> {
  const response = await fetch(url, { method: "PUT", body });
  if (!response.ok) throw new Error(`PUT: ${response.status}`);
  return (response.headers.get("etag") ?? "").replaceAll('"', "");
}

export const request = ({ info }: Sample, debugInfoBuildIds: readonly string[] = []) => ({
  path: info.path,
  narHash: info.narHash,
  narSize: info.narSize,
  debugInfoBuildIds,
});

/** What a builder does with its URLs, and what it then reports. */
export async function build(urls: PresignedNarUrls, { info, nar }: Sample) {
  const packed = await bytesOf(compress(narsOf({ info, nar })(info.path), { method: "zstd" }));
  const multipart = urls.narUpload.multipart;
  if (multipart === undefined) throw new Error("no parts");
  const parts = [];
  for (let i = 0; i * multipart.partSize < packed.length; i++) {
    const piece = packed.subarray(i * multipart.partSize, (i + 1) * multipart.partSize);
    parts.push({ partNumber: i + 1, etag: await put(multipart.parts[i]?.url ?? "", piece) });
  }
  const narInfo: NarInfo = {
    ...info,
    signatures: ["theirs:AAAA"],
    url: urls.narUrl,
    compression: "zstd",
    fileHash: hashBytes("sha256", packed),
    fileSize: packed.length,
  };
  const { uploadId } = multipart;
  return {
    narInfo,
    multipart: { objectKey: urls.narUpload.path, uploadId, parts },
    narAlreadyPresent: false,
  };
}

export function only<T>(list: readonly T[]): T {
  const [first] = list;
  if (first === undefined || list.length !== 1) throw new Error(`one expected, not ${list.length}`);
  return first;
}
