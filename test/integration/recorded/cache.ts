// What the recorded pair had in its cache, and the logs it sent there and then, as parsed values.
import { readFileSync } from "node:fs";
import { fromBinary } from "@bufbuild/protobuf";
import { type NarInfo, type NarListing, parseNarInfo } from "../../../lib/nix/index.js";
import { parseListing } from "../../../lib/nix/nar/listing-parser.js";
import { defaultStoreDir, storePathHashPart } from "../../../lib/nix/path/store-path.js";
import { LogChunkSchema } from "../../../lib/rpc/gen/runner/v1/streaming_pb.js";
import { decodeLog } from "../../../lib/rpc/index.js";
import { callsOf } from "../../rpc/support/transcript.js";

interface RecordedCache {
  readonly public_key: string;
  readonly objects: Readonly<Record<string, string | { readonly size: number; readonly head: string }>>;
}

const fixture = new URL("../../fixtures/observed/cache.json", import.meta.url);
const recorded = JSON.parse(readFileSync(fixture, "utf8")) as RecordedCache;

function text(key: string): string {
  const object = recorded.objects[key];
  if (typeof object !== "string") throw new Error(`the text of ${key} was not recorded`);
  return object;
}

export const recordedPublicKey = recorded.public_key;
export const recordedCacheInfo = text("nix-cache-info");

export const recordedNarInfos: readonly NarInfo[] = Object.keys(recorded.objects)
  .filter((key) => key.endsWith(".narinfo"))
  .map((key) => parseNarInfo(defaultStoreDir, text(key)));

export function recordedListing({ path }: NarInfo): NarListing {
  return parseListing(text(`${storePathHashPart(path)}.ls`));
}

/** Logs as the builder sent them, by base name of the derivation; the last of several. */
export async function recordedLogs(): Promise<ReadonlyMap<string, string>> {
  const logs = new Map<string, string>();
  for (const { method, up, complete } of callsOf("wire.jsonl")) {
    if (method !== "BuildLog" || !complete) continue;
    const chunks = up.map(({ bytes }) => fromBinary(LogChunkSchema, bytes));
    const drv = chunks.find((chunk) => chunk.drv !== undefined)?.drv?.path;
    if (drv === undefined) continue;
    async function* data(): AsyncGenerator<Uint8Array> {
      for (const chunk of chunks) yield chunk.data;
    }
    const parts: Uint8Array[] = [];
    for await (const part of decodeLog(data(), { maxBytes: 2 ** 26 })) parts.push(part);
    logs.set(drv, Buffer.concat(parts).toString());
  }
  return logs;
}
