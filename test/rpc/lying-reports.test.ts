/** What builders that lie say of themselves and of their builds: what is taken, cut, left out and refused. */
import { expect, it } from "vitest";
import {
  completionFromWire,
  completionToWire,
  joinFromWire,
  joinToWire,
} from "../../lib/rpc/convert/index.js";
import type { BuildCompletion, BuilderJoin, BuildProduct } from "../../lib/rpc/types.js";
import { completion, join } from "./support/values.js";

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

const many = (count: number): string[] => Array.from({ length: count }, (_, index) => `name-${index}`);

it.each<readonly [string, Partial<BuilderJoin>]>([
  ["systems", { systems: many(64) }],
  ["supported features", { supportedFeatures: many(256) }],
  ["mandatory features", { mandatoryFeatures: many(256) }],
  ["substituters", { substituters: many(256) }],
  ["letters in a system", { systems: ["s".repeat(255)] }],
  ["letters in a feature", { supportedFeatures: ["f".repeat(255)] }],
  ["letters in the address of a substituter", { substituters: ["u".repeat(2_048)] }],
  ["letters in a host name", { hostname: "h".repeat(255) }],
  ["letters in a version", { nixVersion: "v".repeat(255) }],
])("a machine with so many %s joins, one with more does not", (_, most) => {
  const received = (one: BuilderJoin): BuilderJoin => joinFromWire(joinToWire(one));
  expect(received({ ...join, ...most })).toMatchObject(most);
  const more = Object.fromEntries(
    Object.entries(most).map(([key, value]) => {
      if (typeof value === "string") return [key, `${value}x`];
      const [first = "", ...others] = value as readonly string[];
      return [key, others.length === 0 ? [`${first}x`] : [first, ...others, "another"]];
    }),
  );
  expect(() => received({ ...join, ...more })).toThrow(/more than \d+/);
});
