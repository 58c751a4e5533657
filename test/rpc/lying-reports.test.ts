/** Reports of builders that lie: what of them goes on, and what is left out. */
import { expect, it } from "vitest";
import { completionFromWire, completionToWire } from "../../lib/rpc/convert/index.js";
import type { BuildCompletion, BuildProduct } from "../../lib/rpc/types.js";
import { completion } from "./support/values.js";

const received = (sent: BuildCompletion): BuildCompletion => completionFromWire(completionToWire(sent));

function productsReceived(...subPaths: readonly string[]): readonly string[] {
  const out = completion.outputs.get("out");
  const [product] = out?.nixSupport?.products ?? [];
  if (out?.nixSupport === undefined || product === undefined) throw new Error("no product to change");
  const products = subPaths.map((subPath): BuildProduct => ({ ...product, subPath }));
  const nixSupport = { ...out.nixSupport, products };
  const changed = received({ ...completion, outputs: new Map([["out", { ...out, nixSupport }]]) });
  return (changed.outputs.get("out")?.nixSupport?.products ?? []).map(({ subPath }) => subPath);
}

it("a product that leads out of its store path is left out", () => {
  const inside = ["", "a/b", "/a", "a/../b", "./a//b/../../c", "a/..", "..a", "a..", "...", "%2e%2e/x"];
  expect(productsReceived(...inside)).toEqual(inside);
  const outside = [
    "..",
    "../x",
    "a/../../x",
    "/../x",
    "./../x",
    "a/./../..//b",
    ".\0./x",
    "../../../../etc/shadow",
  ];
  expect(productsReceived(...outside, "kept")).toEqual(["kept"]);
});

it("an error text is cut to what the database keeps", () => {
  const error = `no space\n${"x".repeat(1_000_000)}`;
  expect(received({ ...completion, state: "buildFailure", error }).error).toBe(error.slice(0, 65_536));
});
