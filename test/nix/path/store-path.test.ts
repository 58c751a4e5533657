/** Store paths and their names. */
import { describe, expect, it } from "vitest";
import {
  defaultStoreDir,
  makeFixedOutputPath,
  NixFormatError,
  parseHash,
  parseStorePath,
} from "../../../lib/nix/index.js";

const dir = defaultStoreDir;

describe("store paths", () => {
  it.each(["", "x", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "eaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-x"])(
    "refuses %j",
    (text) => expect(() => parseStorePath(text)).toThrow(NixFormatError),
  );
  it.each(["-", "-a/b", "-.", "-..", "-.-x", "- x", `-${"x".repeat(212)}`])(
    "refuses the name in %j",
    (rest) => expect(() => parseStorePath("a".repeat(32) + rest)).toThrow(NixFormatError),
  );
  it("computes the path of contents with a known address", () => {
    const hash = parseHash("sha256:00zns3gj9hwz2a4b0i07y7nmxybq59lh24bl3xsxblcl6333mjil");
    expect(makeFixedOutputPath(dir, "greeting", { method: "nixArchive", hash })).toBe(
      "h5yj9nwhrzgw40zh0mkpfr339m7qq7ih-greeting",
    );
  });
});
