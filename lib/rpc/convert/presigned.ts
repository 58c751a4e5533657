/** Presigned uploads: URLs, parts, completion. */
import { create } from "@bufbuild/protobuf";
import type { StoreDir } from "../../nix/path/store-path.js";
import * as wire from "../gen/runner/v1/streaming_pb.js";
import type {
  MultipartPart,
  MultipartPartsRequest,
  PresignedNar,
  PresignedUpload,
  PresignedUploadComplete,
  PresignedUrlsRequest,
} from "../types.js";
import { bad, int32, parseUuid, present, required, toBigint, toNumber, uint32 } from "./scalars.js";
import { hashToWire, narHashFromWire, narInfoFromWire, narInfoToWire, storePathText } from "./store.js";

/** The largest number a part may have in S3. */
const maxPartNumber = 10_000;
/** More parts than this in one request are a mistake or an attack. */
const maxPartsPerRequest = 1_000;

/** A request for upload URLs. @throws RpcError `invalid-argument` naming the field */
export function presignedRequestFromWire(message: wire.PresignedUrlRequest): PresignedUrlsRequest {
  return {
    buildId: parseUuid(message.buildId, "build_id"),
    machineId: parseUuid(message.machineId, "machine_id"),
    requests: message.request.map((one, index) => ({
      path: storePathText(one.storePath, `request[${index}].store_path`),
      narHash: narHashFromWire(one.narHash, `request[${index}].nar_hash`),
      narSize: toNumber(one.narSize, `request[${index}].nar_size`),
      debugInfoBuildIds: one.debugInfoBuildIds,
    })),
  };
}

/** A request for upload URLs as its message. */
export function presignedRequestToWire(request: PresignedUrlsRequest): wire.PresignedUrlRequest {
  return create(wire.PresignedUrlRequestSchema, {
    buildId: request.buildId,
    machineId: request.machineId,
    request: request.requests.map((one) =>
      create(wire.PresignedNarRequestSchema, {
        storePath: one.path,
        narHash: hashToWire(one.narHash, "request.narHash"),
        narSize: toBigint(one.narSize, "request.narSize"),
        debugInfoBuildIds: [...one.debugInfoBuildIds],
      }),
    ),
  });
}

/** The URLs of parts, by part number from 1. @throws RpcError `invalid-argument` naming the field */
export function partsFromWire(messages: readonly wire.MultipartPart[]): MultipartPart[] {
  return messages.map(({ partNumber, url }) => ({ partNumber, url }));
}

/** The URLs of parts as messages. */
export function partsToWire(parts: readonly MultipartPart[]): wire.MultipartPart[] {
  return parts.map(({ partNumber, url }) =>
    create(wire.MultipartPartSchema, { partNumber: uint32(partNumber, "part.partNumber"), url }),
  );
}

function uploadFromWire(message: wire.PresignedUpload, field: string): PresignedUpload {
  const { path, url, compression, compressionLevel, multipart } = message;
  return {
    path,
    url,
    compression,
    compressionLevel,
    multipart: multipart && {
      uploadId: multipart.uploadId,
      partSize: toNumber(multipart.partSize, `${field}.multipart.part_size`),
      parts: partsFromWire(multipart.parts),
    },
  };
}

function uploadToWire(upload: PresignedUpload): wire.PresignedUpload {
  const { path, url, compression, multipart } = upload;
  return create(wire.PresignedUploadSchema, {
    path,
    url,
    compression,
    compressionLevel: int32(upload.compressionLevel, "upload.compressionLevel"),
    ...present(
      "multipart",
      multipart &&
        create(wire.MultipartUploadSchema, {
          uploadId: multipart.uploadId,
          partSize: toBigint(multipart.partSize, "upload.partSize"),
          parts: partsToWire(multipart.parts),
        }),
    ),
  });
}

/** The upload URLs of all NARs asked for. @throws RpcError `invalid-argument` naming the field */
export function presignedNarsFromWire(message: wire.PresignedUrlResponse): PresignedNar[] {
  return message.inner.map((one, index) => {
    const field = `inner[${index}]`;
    return {
      path: storePathText(one.storePath, `${field}.store_path`),
      narUrl: one.narUrl,
      narUpload: uploadFromWire(required(one.narUpload, `${field}.nar_upload`), `${field}.nar_upload`),
      lsUpload: one.lsUpload && uploadFromWire(one.lsUpload, `${field}.ls_upload`),
      debugInfoUploads: one.debugInfoUpload.map((upload) =>
        uploadFromWire(upload, `${field}.debug_info_upload`),
      ),
      bucket: one.bucket,
    };
  });
}

/** The upload URLs of all NARs as their message. */
export function presignedNarsToWire(nars: readonly PresignedNar[]): wire.PresignedUrlResponse {
  return create(wire.PresignedUrlResponseSchema, {
    inner: nars.map((nar) =>
      create(wire.PresignedNarResponseSchema, {
        storePath: nar.path,
        narUrl: nar.narUrl,
        narUpload: uploadToWire(nar.narUpload),
        ...present("lsUpload", nar.lsUpload && uploadToWire(nar.lsUpload)),
        debugInfoUpload: nar.debugInfoUploads.map(uploadToWire),
        ...present("bucket", nar.bucket),
      }),
    ),
  });
}

/** A request for the URLs of further parts. @throws RpcError `invalid-argument` naming the field */
export function partsRequestFromWire(message: wire.MultipartPartsRequest): MultipartPartsRequest {
  const { startPartNumber, numParts } = message;
  if (numParts < 1 || numParts > maxPartsPerRequest) {
    throw bad("num_parts", `${numParts} is not from 1 to ${maxPartsPerRequest}`);
  }
  if (startPartNumber < 1 || startPartNumber + numParts - 1 > maxPartNumber) {
    throw bad("start_part_number", `parts are numbered from 1 to ${maxPartNumber}`);
  }
  return {
    buildId: parseUuid(message.buildId, "build_id"),
    machineId: parseUuid(message.machineId, "machine_id"),
    objectKey: message.objectKey,
    uploadId: message.uploadId,
    startPartNumber,
    numParts,
    bucket: message.bucket,
  };
}

/** A request for the URLs of further parts as its message. */
export function partsRequestToWire(request: MultipartPartsRequest): wire.MultipartPartsRequest {
  const { bucket, ...rest } = request;
  return create(wire.MultipartPartsRequestSchema, { ...rest, ...present("bucket", bucket) });
}

/** The report that a NAR was uploaded. @throws RpcError `invalid-argument` naming the field */
export function uploadCompleteFromWire(
  storeDir: StoreDir,
  message: wire.PresignedUploadComplete,
): PresignedUploadComplete {
  const { multipart } = message;
  return {
    buildId: parseUuid(message.buildId, "build_id"),
    machineId: parseUuid(message.machineId, "machine_id"),
    narInfo: narInfoFromWire(storeDir, message.narInfo, "nar_info"),
    multipart: multipart && {
      objectKey: multipart.objectKey,
      uploadId: multipart.uploadId,
      parts: multipart.parts.map(({ partNumber, etag }) => ({ partNumber, etag })),
    },
    narAlreadyPresent: message.narAlreadyPresent,
    bucket: message.bucket,
  };
}

/** The report that a NAR was uploaded, as its message. */
export function uploadCompleteToWire(
  storeDir: StoreDir,
  upload: PresignedUploadComplete,
): wire.PresignedUploadComplete {
  const { multipart } = upload;
  return create(wire.PresignedUploadCompleteSchema, {
    buildId: upload.buildId,
    machineId: upload.machineId,
    narInfo: narInfoToWire(storeDir, upload.narInfo),
    ...present(
      "multipart",
      multipart &&
        create(wire.MultipartCompletionSchema, {
          objectKey: multipart.objectKey,
          uploadId: multipart.uploadId,
          parts: multipart.parts.map((part) => create(wire.MultipartCompletedPartSchema, part)),
        }),
    ),
    narAlreadyPresent: upload.narAlreadyPresent,
    ...present("bucket", upload.bucket),
  });
}
