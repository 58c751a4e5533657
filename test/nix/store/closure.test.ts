/** Closures. */
import { describe, expect, it } from "vitest";
import { parseStorePath, type StorePath } from "../../../lib/nix/index.js";
import { computeClosure } from "../../../lib/nix/store/closure.js";
import type { ValidPathInfo } from "../../../lib/nix/store/path-info.js";
import { PathInfoCache } from "../../../lib/nix/store/path-info-cache.js";
import { pathInfo } from "../../support/path-info.js";

describe("closures", () => {
  it("of a very long chain come dependencies first, without recursion", async () => {
    const path = (i: number): StorePath => parseStorePath(`${String(i).padStart(32, "0")}-c`);
    const info = (i: number): ValidPathInfo =>
      pathInfo(path(i), Buffer.of(0), { references: i === 0 ? [path(0)] : [path(i - 1), path(i)] });
    const query = async (paths: readonly StorePath[]): Promise<Map<StorePath, ValidPathInfo>> =>
      new Map(paths.map((each) => [each, info(Number(each.slice(0, 32)))]));
    const closure = await computeClosure([path(20_000)], query, new PathInfoCache());
    expect(closure.map((each) => each.path)).toEqual(Array.from({ length: 20_001 }, (_, i) => path(i)));
  });
});
