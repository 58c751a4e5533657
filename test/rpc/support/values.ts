/** Domain values for tests, with every optional part present. */
import { parseHash, parseStorePath, type StoreDir, type ValidPathInfo } from "../../../lib/nix/index.js";
import type {
  BuildCompletion,
  BuilderJoin,
  BuilderPing,
  BuildOrder,
  PresignedNar,
  PresignedUploadComplete,
  PresignedUrlsRequest,
} from "../../../lib/rpc/index.js";

export const storeDir = "/nix/store" as StoreDir;
export const buildId = "8d3a5f0e-6c0b-4b1e-9d53-0c2f6f1f7a11";
export const machineId = "e28fe23b-903e-4cc2-a84b-ddc88c0d7782";
export const hello = parseStorePath("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-hello");
export const helloDrv = parseStorePath("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-hello.drv");
const emptyHash = parseHash(
  "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  "sha256",
);

export function infoOf(name: string, narSize: number): ValidPathInfo {
  const path = parseStorePath(`bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-${name}`);
  return {
    path,
    deriver: helloDrv,
    narHash: emptyHash,
    references: [hello, path],
    registrationTime: 1_700_000_000,
    narSize,
    ultimate: true,
    signatures: [`key-1:${"A".repeat(86)}==`],
    ca: { method: "nixArchive", hash: emptyHash },
  };
}

export const join: BuilderJoin = {
  machineId,
  systems: ["x86_64-linux"],
  hostname: "builder",
  cpuCount: 2,
  bogomips: 4600,
  speedFactor: 1.5,
  maxJobs: 4,
  buildDirAvailThreshold: 10,
  storeAvailThreshold: 10,
  load1Threshold: 8,
  cpuPsiThreshold: 75,
  memPsiThreshold: 80,
  ioPsiThreshold: undefined,
  totalMem: 25_276_510_208,
  supportedFeatures: ["kvm"],
  mandatoryFeatures: [],
  cgroups: true,
  substituters: ["https://cache.example"],
  useSubstitutes: true,
  nixVersion: "nix (Nix) 2.26.3",
};

const pressure = { avg10: 0.5, avg60: 0.25, avg300: 0, total: 12_345 };

export const ping: BuilderPing = {
  machineId,
  load1: 0.5,
  load5: 0.25,
  load15: 0,
  memUsage: 505_864_192,
  pressure: {
    cpuSome: pressure,
    memSome: pressure,
    memFull: pressure,
    ioSome: pressure,
    ioFull: pressure,
    irqFull: undefined,
  },
  buildDirFreePercent: 30.5,
  storeFreePercent: 100,
  currentSubstitutingPathCount: 1,
  currentUploadingPathCount: 2,
  currentDownloadingPathCount: 3,
};

export const order: BuildOrder = {
  buildId,
  drv: helloDrv,
  derivation: undefined,
  maxLogSize: 67_108_864,
  maxSilentTime: 3600,
  buildTimeout: 36_000,
  maxOutputSize: 0,
  presigned: { uploadDebugInfo: true },
};

export const completion: BuildCompletion = {
  buildId,
  machineId,
  state: "success",
  importMs: 1,
  buildMs: 2,
  uploadMs: 3,
  outputs: new Map([
    [
      "out",
      {
        path: hello,
        narSize: 120,
        closureSize: 240,
        narHash: emptyHash,
        nixSupport: {
          failed: false,
          releaseName: "hello-1.0",
          products: [
            {
              type: "file",
              subtype: "dist",
              storePath: hello,
              subPath: "hello.tar.gz",
              name: "hello.tar.gz",
              defaultPath: "",
              isRegular: true,
              sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
              fileSize: 17,
            },
          ],
          metrics: [{ name: "size", unit: "KiB", value: 1.5 }],
        },
      },
    ],
  ]),
  error: undefined,
};

export const urlsRequest: PresignedUrlsRequest = {
  buildId,
  machineId,
  requests: [{ path: hello, narHash: emptyHash, narSize: 120, debugInfoBuildIds: ["00ff"] }],
};

const upload = { path: "nar/x.nar.zst", url: "https://s3/x", compression: "zstd", compressionLevel: 3 };

export const presignedNar: PresignedNar = {
  path: hello,
  narUrl: "nar/x.nar.zst",
  narUpload: {
    ...upload,
    multipart: { uploadId: "u", partSize: 8_388_608, parts: [{ partNumber: 1, url: "https://s3/x?1" }] },
  },
  lsUpload: { ...upload, multipart: undefined },
  debugInfoUploads: [{ ...upload, multipart: undefined }],
  bucket: "overflow",
};

export const uploadComplete: PresignedUploadComplete = {
  buildId,
  machineId,
  narInfo: {
    ...infoOf("uploaded", 120),
    url: "nar/x.nar.zst",
    compression: "zstd",
    fileHash: emptyHash,
    fileSize: 77,
  },
  multipart: { objectKey: "nar/x.nar.zst", uploadId: "u", parts: [{ partNumber: 1, etag: '"e"' }] },
  narAlreadyPresent: false,
  bucket: "overflow",
};
