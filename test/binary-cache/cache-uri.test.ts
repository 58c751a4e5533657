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

  it.each(["file:///a%00b", "/a%00"])("cannot hold a NUL: %s", (uri) => {
    expect(() => parseCacheUri(uri)).toThrow(/binary cache URI: a path cannot hold a NUL/);
  });

  it("may escape characters", () => {
    expect(parseCacheUri("file:///var/a%20b%25c/").settings.place).toBe("/var/a b%c");
  });
});

describe("an address of a bucket", () => {
  it.each([
    "s3://user:password@b",
    "s3://b#part",
    "s3://b%20c",
    "s3://-b",
    "s3://a b",
    `s3://${"b".repeat(256)}`,
  ])("names a bucket: not %s", (uri) => {
    expect(() => parseCacheUri(`${uri}?region=x`)).toThrow(/is not the name of a bucket/);
  });

  it.each(["b", "my-cache.example.org", "Old_Style", "9", "b".repeat(63)])("names a bucket: %s", (name) => {
    expect(parseCacheUri(`s3://${name}`).settings.place).toBe(name);
  });
});

it("a key that is named by an empty text is spoken of", () => {
  expect(parseCacheUri("s3://b?secret-key=").warnings).toEqual([
    "parameter 'secret-key' is empty, so it names no key to sign with",
  ]);
  expect(parseCacheUri("s3://b?secret-key=/k").warnings).toEqual([]);
});
