/** What a daemon announces is not believed: nothing is held before its bytes have come, and lists have an end. */
import { Readable } from "node:stream";
import { describe, expect, it } from "vitest";
import { cleanDaemonText } from "../../../../lib/nix/daemon/error.js";
import { stderrCode } from "../../../../lib/nix/daemon/protocol/numbers.js";
import { WireReader } from "../../../../lib/nix/daemon/protocol/reader.js";
import { type ActivityStart, readStderr } from "../../../../lib/nix/daemon/protocol/stderr.js";
import { WireWriter } from "../../../../lib/nix/daemon/protocol/writer.js";
import { expectLinear } from "../../../support/linear.js";

function readerOf(bytes: Uint8Array, more: readonly Uint8Array[] = []): WireReader {
  const chunks = [bytes, ...more];
  const source = Readable.from(chunks)[Symbol.asyncIterator]();
  return new WireReader({
    read: async () => (await source.next()).value as Uint8Array | undefined,
  });
}

describe("a list", () => {
  it.each([2n ** 60n, 2n ** 64n - 1n, 2n ** 52n, BigInt((16 << 20) + 1)])(
    "of %s elements is refused at once",
    async (count) => {
      const reader = readerOf(new WireWriter().u64(count).take());
      await expect(reader.list(() => reader.number())).rejects.toMatchObject({ code: "protocol" });
    },
  );

  it("that breaks off has cost what has come", async () => {
    const before = process.memoryUsage().rss;
    const reader = readerOf(
      new WireWriter()
        .u64(16 << 20)
        .u64(1)
        .take(),
    );
    await expect(reader.list(() => reader.number())).rejects.toMatchObject({ code: "closed" });
    expect(process.memoryUsage().rss - before).toBeLessThan(64 << 20);
  });

  it("keeps only what is wanted of it, and goes on behind it", async () => {
    const writer = new WireWriter();
    writer.list([1, 2, 3, 4], (value) => writer.u64(value)).u64(7);
    const reader = readerOf(writer.take());
    expect(await reader.list(() => reader.number(), 2)).toEqual([1, 2]);
    expect(await reader.number()).toBe(7);
  });

  it("takes linear time", async () => {
    const make = (size: number): Uint8Array => {
      const writer = new WireWriter();
      return writer
        .list(
          Array.from({ length: size / 16 }, () => "x"),
          (text) => writer.text(text),
        )
        .take();
    };
    await expectLinear(make, async (bytes) => {
      const reader = readerOf(bytes);
      return reader.list(() => reader.text());
    });
  });
});

describe("a string", () => {
  it.each([2n ** 60n, 2n ** 40n, BigInt((16 << 20) + 1)])(
    "of %s bytes is refused at once",
    async (length) => {
      const reader = readerOf(new WireWriter().u64(length).take());
      await expect(reader.text()).rejects.toMatchObject({ code: "protocol" });
    },
  );

  it("in pieces of one byte takes linear time", async () => {
    const make = (size: number): Uint8Array[] =>
      Array.from(new WireWriter().bytes(Buffer.alloc(size)).take(), (byte) => Uint8Array.of(byte));
    await expectLinear(
      make,
      (chunks) => readerOf(chunks[0] ?? new Uint8Array(0), chunks.slice(1)).bytes(),
      1 << 18,
    );
  });
});

describe("an activity", () => {
  it("keeps a few of a million fields", async () => {
    const writer = new WireWriter().u64(stderrCode.startActivity).u64(1).u64(0).u64(0).text("x");
    writer
      .list(
        Array.from({ length: 1_000_000 }, () => 1),
        (tag) => writer.u64(tag - 1).u64(5),
      )
      .u64(0);
    const started: ActivityStart[] = [];
    await readStderr(readerOf(writer.u64(stderrCode.last).take()), {
      activityStarted: (activity) => void started.push(activity),
    });
    expect(started[0]?.fields).toHaveLength(16);
  });

  it.each([
    ["open escapes", (size: number) => "\u001b[".repeat(size / 2)],
    ["one open escape", (size: number) => `\u001b[${"0".repeat(size)}`],
    [
      "an escape of digits and blanks",
      (size: number) => `\u001b[${"0".repeat(size / 2)}${" ".repeat(size / 2)}\u0001`,
    ],
    ["open titles", (size: number) => "\u001b]x".repeat(size / 3)],
    ["errors", (size: number) => "error: ".repeat(size / 7)],
    ["blanks", (size: number) => `error:${" ".repeat(size)}x`],
    ["controls", (size: number) => "\0".repeat(size)],
  ])("text of %s is cleaned in linear time", async (_, make) => {
    await expectLinear(make, cleanDaemonText);
  });
});
