/** Addresses of binary caches: what is refused, and in which words. */
import { describe, expect, it } from "vitest";
import { BinaryCacheError, parseCacheUri } from "../../lib/binary-cache/index.js";

describe("an address of a folder", () => {
  it.each(["file:///var/%zz", "file:///var/%", "/var/%c3", "file:///a/%2?compression=none"])(
    "with a malformed percent sign is refused by name: %s",
    (uri) => {
      expect(() => parseCacheUri(uri)).toThrow(BinaryCacheError);
      expect(() => parseCacheUri(uri)).toThrow(/has a % that is not followed by two hexadecimal digits/);
    },
  );

  it("may escape characters", () => {
    expect(parseCacheUri("file:///var/a%20b%25c/").settings.place).toBe("/var/a b%c");
  });
});
