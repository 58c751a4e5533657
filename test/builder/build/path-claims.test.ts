import { expect, test } from "vitest";
import { PathClaims } from "../../../lib/builder/build/path-claims.js";
import { parseStorePath } from "../../../lib/nix/path/store-path.js";

const [a, b, c] = ["a", "b", "c"].map((letter) => parseStorePath(`${letter.repeat(32)}-x`));
if (a === undefined || b === undefined || c === undefined) throw new Error("unreachable");

test("a path is brought by whoever claimed it first; others wait until it is done or given up", async () => {
  const claims = new PathClaims();
  const first = claims.claim([a, b, a]);
  const second = claims.claim([b, c, a]);
  expect(first.mine).toEqual([a, b]);
  expect(second.mine).toEqual([c]);
  expect([...second.others.keys()]).toEqual([b, a]);

  first.done([a]);
  await second.others.get(a);
  expect(claims.claim([a]).mine).toEqual([a]);

  let released = false;
  const waiting = second.others.get(b)?.then(() => {
    expect(released).toBe(true);
  });
  released = true;
  first.release();
  await waiting;
  expect(claims.claim([b]).mine).toEqual([b]);
});

test("nobody ends the claim of another", () => {
  const claims = new PathClaims();
  const first = claims.claim([a]);
  const second = claims.claim([a, b]);
  second.done([a]);
  second.release();
  expect(claims.claim([a]).mine).toEqual([]);
  first.release();
  expect(claims.claim([a]).mine).toEqual([a]);
});
