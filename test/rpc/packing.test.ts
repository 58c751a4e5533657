import { randomBytes } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { zstdFrame } from "../../lib/compression/index.js";
import { decodeLog, encodeLog, type NarStream, packNars, unpackNars } from "../../lib/rpc/index.js";
import { bytesOf, streamOf } from "./support/streams.js";
import { infoOf } from "./support/values.js";

async function collect(stream: NarStream): Promise<Buffer[]> {
  const nars: Buffer[] = [];
  for await (const { nar } of unpackNars(stream)) nars.push(await bytesOf(nar));
  return nars;
}

/** Cuts a stream into pieces of `size`. */
async function* recut(stream: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
  const all = await bytesOf(stream);
  for (let at = 0; at < all.length; at += size) yield all.subarray(at, at + size);
}

describe("NAR streams", () => {
  it("any NARs come out as they went in, however the bytes are cut", async () => {
    const nar = fc.uint8Array({ maxLength: 3000 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(nar, { maxLength: 5 }),
        fc.integer({ min: 1, max: 700 }),
        async (nars, cut) => {
          const infos = nars.map((one, index) => infoOf(`n${index}`, one.length));
          const packed = packNars(infos, (info) => streamOf(nars[infos.indexOf(info)] ?? ""));
          const got = await collect({ infos, chunks: recut(packed.chunks, cut) });
          expect(got.map((one) => one.toString("hex"))).toEqual(
            nars.map((one) => Buffer.from(one).toString("hex")),
          );
        },
      ),
      { numRuns: 15 },
    );
  });

  it("no paths make a frame all the same", async () => {
    const { chunks } = packNars([], () => streamOf());
    const bytes = await bytesOf(chunks);
    expect(bytes.subarray(0, 4).toString("hex")).toBe("28b52ffd");
    expect(await collect({ infos: [], chunks: streamOf(bytes) })).toEqual([]);
  });

  it.each([
    ["short", 5],
    ["long", 3],
  ])("a NAR that is too %s fails the packing", async (_, size) => {
    const { chunks } = packNars([infoOf("a", size)], () => streamOf("1234"));
    await expect(bytesOf(chunks)).rejects.toMatchObject({ code: "data-loss" });
  });

  it("too few and too many bytes fail the unpacking", async () => {
    const chunks = (): AsyncIterable<Uint8Array> => zstdFrame(streamOf("12345678"));
    await expect(collect({ infos: [infoOf("a", 9)], chunks: chunks() })).rejects.toMatchObject({
      code: "internal",
      message: expect.stringContaining("lacks 1 of 9") as string,
    });
    await expect(collect({ infos: [infoOf("a", 7)], chunks: chunks() })).rejects.toMatchObject({
      message: expect.stringContaining("more than") as string,
    });
  });

  it("a frame that breaks off and bytes that are no frame are told from an end", async () => {
    const whole = await bytesOf(zstdFrame(streamOf(randomBytes(1000))));
    const infos = [infoOf("a", 1000)];
    for (const bytes of [whole.subarray(0, -1), whole.subarray(0, 500), Buffer.from("no zstd, surely not")]) {
      await expect(collect({ infos, chunks: streamOf(bytes) })).rejects.toMatchObject({ code: "internal" });
    }
  });

  it("NARs that are not read to the end are passed over", async () => {
    const infos = [infoOf("a", 3_000_000), infoOf("b", 4)];
    const nars = [Buffer.alloc(3_000_000, "xyz"), Buffer.from("last")];
    const stream = packNars(infos, (info) => streamOf(nars[infos.indexOf(info)] ?? ""));
    const seen: string[] = [];
    for await (const { info, nar } of unpackNars(stream)) {
      if (info === infos[0]) {
        for await (const _ of nar) break;
        continue;
      }
      seen.push((await bytesOf(nar)).toString());
    }
    expect(seen).toEqual(["last"]);
  });

  it("leaving early ends the source", async () => {
    let ended = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield randomBytes(100_000);
      } finally {
        ended = true;
      }
    }
    const stream = { infos: [infoOf("a", 1e9)], chunks: zstdFrame(source()) };
    for await (const { nar } of unpackNars(stream)) {
      for await (const _ of nar) break;
      break;
    }
    await expect.poll(() => ended).toBe(true);
  });
});

describe("logs", () => {
  const maxBytes = 2 ** 26;

  it("end at their limit, and what follows is taken undecoded", async () => {
    let sent = 0;
    // Repeated blocks of 128 KiB: more than a gigabyte, and then no zstd at all.
    async function* bomb(): AsyncGenerator<Uint8Array> {
      yield Buffer.from("28b52ffd0038", "hex");
      for (; sent < 10_000; sent++) yield Buffer.from("02001041", "hex");
      yield Buffer.from("this is not zstd");
      sent += 1;
    }
    const text = await bytesOf(decodeLog(bomb(), { maxBytes: 1_000_001 }));
    expect(text.equals(Buffer.alloc(1_000_001, "A"))).toBe(true);
    expect(sent).toBe(10_001);
  });

  it("come out as they went in", async () => {
    const text = [randomBytes(200_000), Buffer.from("line\n"), Buffer.alloc(0)];
    expect(
      (await bytesOf(decodeLog(encodeLog(streamOf(...text)), { maxBytes }))).equals(Buffer.concat(text)),
    ).toBe(true);
  });

  it("no bytes at all are no log", async () => {
    await expect(bytesOf(decodeLog(streamOf(), { maxBytes }))).rejects.toMatchObject({ code: "internal" });
  });

  it("what came before a break is delivered", async () => {
    const whole = await bytesOf(encodeLog(streamOf("a line of the log\n", "another line\n")));
    let got = "";
    const reading = (async () => {
      for await (const chunk of decodeLog(streamOf(whole.subarray(0, -3)), { maxBytes }))
        got += Buffer.from(chunk).toString();
    })();
    await expect(reading).rejects.toMatchObject({ code: "internal" });
    expect(got).toContain("a line of the log\n");
  });
});
