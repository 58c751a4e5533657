import { type DescMessage, type Message, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import * as convert from "../../lib/rpc/convert/index.js";
import type { StorePaths, StorePath as WireStorePath } from "../../lib/rpc/gen/nix/store/v1/store_pb.js";
import type * as wire from "../../lib/rpc/gen/runner/v1/streaming_pb.js";
import { decoded, encoded, files, isSameOnWire, messagesOf, schemas } from "./support/transcript.js";
import { storeDir } from "./support/values.js";

/** To domain types and back; undefined for messages that have no domain type of their own. */
function roundTrip(type: string, message: Message): Message | undefined {
  switch (type) {
    case "nix.store.v1.StorePath":
      return convert.storePathToWire(convert.storePathFromWire(message as WireStorePath, "path"));
    case "nix.store.v1.StorePaths": {
      const paths = convert.storePathsFromWire((message as StorePaths).paths, "paths");
      return { ...message, paths: paths.map(convert.storePathToWire) } as StorePaths;
    }
    case "runner.v1.StepUpdate":
      return convert.stepUpdateToWire(convert.stepUpdateFromWire(message as wire.StepUpdate));
    case "runner.v1.BuildResultInfo":
      return convert.completionToWire(convert.completionFromWire(message as wire.BuildResultInfo));
    case "runner.v1.PresignedUrlRequest":
      return convert.presignedRequestToWire(
        convert.presignedRequestFromWire(message as wire.PresignedUrlRequest),
      );
    case "runner.v1.PresignedUrlResponse":
      return convert.presignedNarsToWire(convert.presignedNarsFromWire(message as wire.PresignedUrlResponse));
    case "runner.v1.PresignedUploadComplete":
      return convert.uploadCompleteToWire(
        storeDir,
        convert.uploadCompleteFromWire(storeDir, message as wire.PresignedUploadComplete),
      );
    case "runner.v1.RunnerRequest": {
      const order = convert.orderFromWire(message as wire.RunnerRequest);
      return order && convert.orderToWire(order);
    }
    case "runner.v1.BuilderRequest": {
      const { message: content, ...rest } = message as wire.BuilderRequest;
      if (content.case === "join") {
        const value = convert.joinToWire(convert.joinFromWire(content.value));
        return { ...rest, message: { case: "join", value } } as wire.BuilderRequest;
      }
      if (content.case === "ping") {
        const value = convert.pingToWire(convert.pingFromWire(content.value));
        return { ...rest, message: { case: "ping", value } } as wire.BuilderRequest;
      }
      return undefined;
    }
    case "runner.v1.AddToStoreRequest": {
      const { content, ...rest } = message as wire.AddToStoreRequest;
      if (content.case !== "header") return undefined;
      const pathInfos = content.value.pathInfos.map((info) =>
        convert.pathInfoToWire(storeDir, convert.pathInfoFromWire(info, "info")),
      );
      const value = { ...content.value, pathInfos };
      return { ...rest, content: { case: "header", value } } as wire.AddToStoreRequest;
    }
    default:
      return undefined;
  }
}

describe.each(files)("recorded messages of %s", (file) => {
  const messages = messagesOf(file);

  it("are encoded as they were", () => {
    expect(messages.length).toBeGreaterThan(50);
    for (const message of messages) {
      const schema = schemas.get(message.type) as DescMessage;
      const again = toBinary(schema, decoded(message));
      expect(
        isSameOnWire(schema, again, message.bytes),
        `${message.type} ${message.bytes.toString("hex")}`,
      ).toBe(true);
    }
  });

  it("survive the way to domain types and back", () => {
    const types = new Set<string>();
    for (const message of messages) {
      const schema = schemas.get(message.type) as DescMessage;
      const again = roundTrip(message.type, decoded(message));
      if (again === undefined) continue;
      types.add(message.type);
      const bytes = encoded(schema, again);
      expect(
        isSameOnWire(schema, bytes, message.bytes),
        `${message.type}\n${message.bytes.toString("hex")}\n${Buffer.from(bytes).toString("hex")}`,
      ).toBe(true);
    }
    expect(types.size).toBeGreaterThanOrEqual(7);
  });
});
