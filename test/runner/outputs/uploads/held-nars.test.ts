// Small outputs are kept from their arrival until they are uploaded, and only while they are what the store has.
import { describe, expect, it } from "vitest";
import { hashBytes } from "../../../../lib/nix/path/hash.js";
import type { StorePath } from "../../../../lib/nix/path/store-path.js";
import type { ValidPathInfo } from "../../../../lib/nix/store/path-info.js";
import { HeldNars } from "../../../../lib/runner/outputs/uploads/held-nars.js";
import type { Attempt } from "../../../../lib/runner/state/attempts.js";
import { pathInfo } from "../../../support/path-info.js";
import { attemptFor, basePath, storeDir } from "../../../support/recording.js";

const path = (letter: string): StorePath => basePath(`${storeDir}/${letter.repeat(32)}-x`);
const attemptMaking = (...paths: readonly (StorePath | undefined)[]): Attempt =>
  attemptFor(
    1,
    `${storeDir}/${"0".repeat(32)}-x.drv`,
    "x86_64-linux",
    paths.map((one, index) => [`out${index}`, one] as const),
  );

async function* piecesOf(nar: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < nar.length; at += 7) yield nar.subarray(at, at + 7);
}

/** Sends the NARs of a stream through `held`; returns what came out at the other end. */
async function receive(
  held: HeldNars,
  attempt: Attempt,
  sent: readonly { readonly info: ValidPathInfo; readonly nar: Uint8Array }[],
  { arrived = true, before = () => {} }: { readonly arrived?: boolean; readonly before?: () => void } = {},
): Promise<readonly Buffer[]> {
  const staged = held.begin({ infos: sent.map(({ info }) => info), chunks: piecesOf(Buffer.of()) }, attempt);
  const received: Buffer[] = [];
  for (const { nar } of sent) {
    const pieces: Buffer[] = [];
    for await (const piece of staged?.pass(piecesOf(nar)) ?? piecesOf(nar)) pieces.push(Buffer.from(piece));
    received.push(Buffer.concat(pieces));
  }
  before();
  staged?.over(arrived);
  return received;
}

const small = Buffer.from("a small output");
const other = Buffer.from("another small output");
const large = Buffer.alloc((64 << 10) + 1, 1);

describe("small outputs that arrived", () => {
  it("are kept by their contents, each of a stream, and are passed on as they are", async () => {
    const held = new HeldNars();
    const [a, b, c] = [path("a"), path("b"), path("c")];
    const sent = [
      { info: pathInfo(a, small), nar: small },
      { info: pathInfo(b, large), nar: large },
      { info: pathInfo(c, other), nar: other },
    ];
    expect(await receive(held, attemptMaking(a, b, c), sent)).toEqual([small, large, other]);
    expect(held.open(pathInfo(a, small))).toEqual(small);
    expect(held.open(pathInfo(b, large))).toBeUndefined();
    expect(held.open(pathInfo(c, other))).toEqual(other);
    // The store has something else under that name.
    expect(held.open(pathInfo(a, other))).toBeUndefined();
  });

  it("are kept when only the build could name them, and others are not", async () => {
    const held = new HeldNars();
    const [a, b] = [path("a"), path("b")];
    await receive(held, attemptMaking(undefined), [{ info: pathInfo(a, small), nar: small }]);
    await receive(held, attemptMaking(path("c")), [{ info: pathInfo(b, small), nar: small }]);
    expect(held.open(pathInfo(a, small))).toEqual(small);
    expect(held.open(pathInfo(b, small))).toBeUndefined();
  });

  it("are not kept when they are not what they were said to be, or did not arrive", async () => {
    const [a] = [path("a")];
    const lies = { ...pathInfo(a, small), narHash: hashBytes("sha256", other) };
    const short = { ...pathInfo(a, small), narSize: small.length + 1 };
    const long = { ...pathInfo(a, small), narSize: small.length - 1 };
    for (const info of [lies, short, long]) {
      const held = new HeldNars();
      expect(await receive(held, attemptMaking(a), [{ info, nar: small }])).toEqual([small]);
      expect(held.open(info)).toBeUndefined();
    }
    const held = new HeldNars();
    await receive(held, attemptMaking(a), [{ info: pathInfo(a, small), nar: small }], { arrived: false });
    expect(held.open(pathInfo(a, small))).toBeUndefined();
  });

  it("go when their attempt is over, also when that is before they have arrived", async () => {
    const held = new HeldNars();
    const a = path("a");
    const attempt = attemptMaking(a);
    const sent = [{ info: pathInfo(a, small), nar: small }];
    await receive(held, attempt, sent);
    held.discard(attempt.id);
    expect(held.open(pathInfo(a, small))).toBeUndefined();
    await receive(held, attempt, sent, { before: () => held.discard(attempt.id) });
    expect(held.open(pathInfo(a, small))).toBeUndefined();
  });

  it("are 8 MiB at most, and no more paths of an attempt than it has outputs", async () => {
    const held = new HeldNars();
    const nar = Buffer.alloc(64 << 10, 2);
    const paths = Array.from({ length: 129 }, (_, index) =>
      basePath(`${storeDir}/${String(index).padStart(32, "0")}-x`),
    );
    const attempts = paths.map((one) => attemptMaking(one));
    for (const [index, attempt] of attempts.entries()) {
      const one = paths[index];
      if (one !== undefined) await receive(held, attempt, [{ info: pathInfo(one, nar), nar }]);
    }
    const kept = (): number => paths.filter((one) => held.open(pathInfo(one, nar)) !== undefined).length;
    expect(kept()).toBe(128);
    const [first, last] = [attempts[0], paths[128]];
    if (first === undefined || last === undefined) throw new Error("no attempts");
    held.discard(first.id);
    await receive(held, attemptMaking(last), [{ info: pathInfo(last, nar), nar }]);
    expect(kept()).toBe(128);

    const few = new HeldNars();
    const [a, b] = [path("a"), path("b")];
    const sent = [a, b].map((one) => ({ info: pathInfo(one, small), nar: small }));
    await receive(few, attemptMaking(undefined), sent);
    expect([a, b].filter((one) => few.open(pathInfo(one, small)) !== undefined)).toEqual([a]);
  });

  it("are counted while they arrive: nothing is copied beyond the 8 MiB, nor for more paths than there are outputs", () => {
    const held = new HeldNars();
    const nar = Buffer.alloc(64 << 10, 2);
    const begin = (count: number) => {
      const infos = Array.from({ length: count }, (_, index) =>
        pathInfo(basePath(`${storeDir}/${String(index).padStart(32, "0")}-x`), nar),
      );
      const outputs = infos.map(() => undefined);
      const staged = held.begin({ infos, chunks: piecesOf(nar) }, attemptMaking(...outputs));
      if (staged === undefined) throw new Error("nothing is kept");
      const copies = infos.filter(() => {
        const pieces = piecesOf(nar);
        return staged.pass(pieces) !== pieces;
      });
      return { staged, copies: copies.length };
    };
    const first = begin(100);
    const second = begin(100);
    expect([first.copies, second.copies]).toEqual([100, 28]);
    first.staged.over(false);
    second.staged.over(true);
    expect(begin(200).copies).toBe(128);

    const few = new HeldNars();
    const infos = ["a", "b", "c"].map((letter) => pathInfo(path(letter), small));
    const staged = few.begin({ infos, chunks: piecesOf(small) }, attemptMaking(undefined, undefined));
    const sources = infos.map(() => piecesOf(small));
    expect(sources.map((pieces) => staged?.pass(pieces) === pieces)).toEqual([false, false, true]);
  });
});
