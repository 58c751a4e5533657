/** The trace of an attempt on the wire: in a field of the order, and as metadata of the report. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { parseStorePath } from "../../lib/nix/path/store-path.js";
import { orderFromWire, orderToWire, traceparentOf } from "../../lib/rpc/convert/index.js";
import { BuildMessageSchema, RunnerRequestSchema } from "../../lib/rpc/gen/runner/v1/streaming_pb.js";
import type { BuildOrder } from "../../lib/rpc/types.js";

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

const build: BuildOrder = {
  buildId: "01234567-89ab-4def-8123-456789abcdef",
  drv: parseStorePath(`${"a".repeat(32)}-hello.drv`),
  derivation: undefined,
  maxLogSize: 1,
  maxSilentTime: 2,
  buildTimeout: 3,
  maxOutputSize: 4,
  presigned: undefined,
};

function bytesOf(order: BuildOrder): Uint8Array {
  const { message } = orderToWire({ kind: "build", build: order });
  if (message.case !== "build") throw new Error("not an order to build");
  return toBinary(BuildMessageSchema, message.value);
}

const read = (bytes: Uint8Array) =>
  orderFromWire(
    create(RunnerRequestSchema, {
      message: { case: "build", value: fromBinary(BuildMessageSchema, bytes) },
    }),
  );

describe("an order", () => {
  it("brings the trace of its attempt", () => {
    expect(read(bytesOf({ ...build, traceparent }))).toMatchObject({
      kind: "build",
      build: { ...build, traceparent },
    });
  });

  it("without a trace is the message that unmodified runners send", () => {
    const plain = bytesOf(build);
    expect(Buffer.from(bytesOf({ ...build, traceparent: undefined })).equals(plain)).toBe(true);
    // The field comes last, so what stands before it is the same.
    const traced = bytesOf({ ...build, traceparent });
    const field = Buffer.concat([Buffer.from([0xc2, 0x3e, traceparent.length]), Buffer.from(traceparent)]);
    expect(Buffer.from(traced).subarray(-field.length).equals(field)).toBe(true);
    expect(traced.length).toBe(plain.length + field.length);
  });

  it.each(["", "nonsense", `${traceparent}\r\nx: y`, "x".repeat(100_000)])(
    "with %j in its place is carried out without a trace",
    (text) => {
      const message = create(BuildMessageSchema, {
        buildId: build.buildId,
        drv: { path: build.drv },
        traceparent: text,
      });
      const received = read(toBinary(BuildMessageSchema, message));
      expect(received).toMatchObject({ kind: "build" });
      expect(received).not.toHaveProperty("build.traceparent");
    },
  );
});

describe("the metadata of a report", () => {
  it("is taken when it has the form, and else not", () => {
    expect(traceparentOf(traceparent)).toBe(traceparent);
    for (const other of [
      undefined,
      [traceparent, traceparent],
      `${traceparent}x`,
      traceparent.toUpperCase(),
    ]) {
      expect(traceparentOf(other)).toBeUndefined();
    }
  });
});
