/** Messages are counted and divided before they are decoded. */
import { create, toBinary } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StorePathsSchema } from "../../lib/rpc/gen/nix/store/v1/store_pb.js";
import { BuildResultInfoSchema } from "../../lib/rpc/gen/runner/v1/streaming_pb.js";
import { decode } from "../../lib/rpc/server/decode.js";
import { hasMoreFields, parts } from "../../lib/rpc/server/wire-fields.js";
import { files, messagesOf, schemas } from "./support/transcript.js";

describe("a message", () => {
  it("of empty fields is refused before they become objects", async () => {
    const bomb = Buffer.alloc(48 << 20, Buffer.from("0a00", "hex"));
    await expect(decode(StorePathsSchema, bomb)).rejects.toMatchObject({ code: "out-of-range" });
    const nested = Buffer.concat([Buffer.from("0a80808018", "hex"), bomb]);
    expect(hasMoreFields(StorePathsSchema, nested, 1_000_000)).toBe(true);
  });

  it("is counted with the messages in it", () => {
    const paths = [{ path: "a" }, { path: "b" }];
    const bytes = toBinary(StorePathsSchema, create(StorePathsSchema, { paths }));
    expect([3, 4].map((limit) => hasMoreFields(StorePathsSchema, bytes, limit))).toEqual([true, false]);
  });

  it("is divided into parts that are the message again, whatever its bytes are", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 1, max: 40 }), (bytes, size) => {
        expect(Buffer.concat([...parts(bytes, size)]).equals(bytes)).toBe(true);
        hasMoreFields(BuildResultInfoSchema, bytes, 1_000);
      }),
    );
  });

  it("that is longer than a part is decoded as a whole would be", async () => {
    const paths = Array.from({ length: 20_000 }, (_, index) => ({ path: `path number ${index}` }));
    const message = create(StorePathsSchema, { paths });
    expect(await decode(StorePathsSchema, toBinary(StorePathsSchema, message))).toEqual(message);
  });

  it("of the recordings is within the limits, and survives the division", async () => {
    for (const { type, bytes } of files.flatMap(messagesOf)) {
      const schema = schemas.get(type);
      if (schema === undefined) continue;
      expect(Buffer.concat([...parts(bytes, 16)]).equals(bytes)).toBe(true);
      expect(Buffer.from(toBinary(schema, await decode(schema, bytes))).length).toBeGreaterThanOrEqual(0);
    }
  });
});
