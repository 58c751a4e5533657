/** The wire in both directions: messages, bulk streams, log and NAR frames, metadata of calls. */
import { type DescMessage, fromBinary, type Message } from "@bufbuild/protobuf";
import { defaultStoreDir, dumpTree, hashBytes, parseStorePath } from "../../../lib/nix/index.js";
import * as convert from "../../../lib/rpc/convert/index.js";
import type { StorePaths, StorePath as WireStorePath } from "../../../lib/rpc/gen/nix/store/v1/store_pb.js";
import type * as wire from "../../../lib/rpc/gen/runner/v1/streaming_pb.js";
import { decodeLog, encodeLog, packNars, unpackNars } from "../../../lib/rpc/index.js";
import { BulkParser } from "../../../lib/rpc/stream/bulk-parser.js";
import { decodeGrpcMessage } from "../../../lib/rpc/stream/protocol.js";
import { files, framed, messagesOf, schemas } from "../../rpc/support/transcript.js";
import { assert, type FuzzTarget } from "../target.js";

const recorded = files.flatMap(messagesOf);

/** Reads a decoded message as the runner (requests) or the builder (answers) does. */
function read(type: string, message: Message): void {
  switch (type) {
    case "nix.store.v1.StorePath":
      convert.storePathFromWire(message as WireStorePath, "path");
      return;
    case "nix.store.v1.StorePaths":
      convert.storePathsFromWire((message as StorePaths).paths, "paths");
      return;
    case "runner.v1.StepUpdate":
      convert.stepUpdateFromWire(message as wire.StepUpdate);
      return;
    case "runner.v1.BuildResultInfo":
      convert.completionFromWire(message as wire.BuildResultInfo);
      return;
    case "runner.v1.PresignedUrlRequest":
      convert.presignedRequestFromWire(message as wire.PresignedUrlRequest);
      return;
    case "runner.v1.PresignedUrlResponse":
      convert.presignedNarsFromWire(message as wire.PresignedUrlResponse);
      return;
    case "runner.v1.PresignedUploadComplete":
      convert.uploadCompleteFromWire(defaultStoreDir, message as wire.PresignedUploadComplete);
      return;
    case "runner.v1.RunnerRequest":
      convert.orderFromWire(message as wire.RunnerRequest);
      return;
    case "runner.v1.BuilderRequest": {
      const { message: content } = message as wire.BuilderRequest;
      if (content.case === "join") convert.joinFromWire(content.value);
      if (content.case === "ping") convert.pingFromWire(content.value);
      return;
    }
    case "runner.v1.AddToStoreRequest": {
      const { content } = message as wire.AddToStoreRequest;
      if (content.case === "header")
        for (const info of content.value.pathInfos) convert.pathInfoFromWire(info, "info");
      return;
    }
  }
}

function messageTarget(type: string, schema: DescMessage): FuzzTarget[] {
  const seeds = recorded.filter((one) => one.type === type).map((one) => Uint8Array.from(one.bytes));
  if (seeds.length === 0) return [];
  return [
    {
      name: type,
      seeds: seeds.slice(0, 40),
      weight: 2,
      run(input) {
        let message: Message;
        try {
          message = fromBinary(schema, input);
        } catch {
          // The library's own error; the server and the client turn it into a status.
          return;
        }
        read(type, message);
      },
    },
  ];
}

async function* pieces(input: Uint8Array, size = 977): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < input.length; at += size) yield input.subarray(at, at + size);
}

async function collected(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(Uint8Array.from(part));
  return Buffer.concat(parts);
}

const bulkSeeds = recorded
  .filter(({ type }) => type === "runner.v1.AddToStoreRequest" || type === "runner.v1.LogChunk")
  .map(({ bytes }) => framed(bytes));
const bulkLimit = 1 << 20;

const nar = Buffer.concat([
  ...dumpTree({ kind: "regular", contents: Buffer.from("contents of a small file\n".repeat(40)) }),
]);
const info = {
  path: parseStorePath("7w5rr17m3cbrcgx2ljqd6s0l9hzhlg1q-a"),
  narHash: hashBytes("sha256", nar),
  narSize: nar.length,
  references: [],
  signatures: [],
} as unknown as Parameters<typeof packNars>[0][number];

/** Text that may come out of one fuzzed frame: 64 KiB of input are worth no more work than this. */
const mostLogText = 1 << 20;

export async function wireTargets(): Promise<readonly FuzzTarget[]> {
  const packed = await collected(packNars([info], () => pieces(nar)).chunks);
  const log = await collected(encodeLog(pieces(Buffer.from("a line of a log\n".repeat(300)))));
  return [
    ...[...schemas].flatMap(([type, schema]) => messageTarget(type, schema)),
    {
      name: "bulk-stream",
      seeds: bulkSeeds.slice(0, 40),
      weight: 2,
      run(input) {
        const parser = new BulkParser({ maxMessageBytes: bulkLimit });
        let payload = 0;
        for (let at = 0; at < input.length; at += 1000) {
          for (const event of parser.push(input.subarray(at, at + 1000))) {
            if (event.kind === "data") payload += event.bytes.length;
          }
        }
        parser.finish();
        assert(payload <= input.length, "more payload than input");
      },
    },
    {
      name: "nar-stream",
      seeds: [packed],
      async run(input) {
        for await (const { nar: one } of unpackNars({ infos: [info], chunks: pieces(input) })) {
          const size = (await collected(one)).length;
          assert(size === info.narSize, `a NAR of ${size} bytes instead of ${info.narSize}`);
        }
      },
    },
    {
      name: "log-stream",
      seeds: [log],
      async run(input) {
        let size = 0;
        for await (const text of decodeLog(pieces(input), { maxBytes: mostLogText })) size += text.length;
        assert(size <= mostLogText, `a log of ${size} bytes, more than its limit`);
      },
    },
    {
      name: "running-builds-header",
      seeds: [
        Buffer.from(
          "v1;0b5bcf0c-8c3f-4f4e-9f2b-6f2f3f7f0a01/z478pbvgmdpvyc6lp4786fqpjikh7jqf-hello.drv/1200",
        ),
      ],
      run(input) {
        convert.runningBuildsFromHeader(Buffer.from(input).toString("latin1"));
      },
    },
    {
      name: "grpc-message",
      seeds: [Buffer.from("build %E2%82%AC failed%0A")],
      run(input) {
        assert(typeof decodeGrpcMessage(Buffer.from(input).toString("latin1")) === "string", "no text");
      },
    },
  ];
}
