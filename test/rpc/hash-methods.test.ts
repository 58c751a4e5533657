/** Hash methods that the wire has no number for go through it as text. */
import { describe, expect, it } from "vitest";
import {
  byteStringFromText,
  parseContentAddress,
  parseDerivation,
  parseStorePath,
} from "../../lib/nix/index.js";
import { basicDerivationFromWire, basicDerivationToWire } from "../../lib/rpc/convert/derivation.js";
import { pathInfoFromWire, pathInfoToWire } from "../../lib/rpc/convert/store.js";
import { infoOf, storeDir } from "./support/values.js";

describe("on the wire", () => {
  it.each([
    '("out","","git:sha1","")',
    '("out","","new:sha9","")',
    '("out","","new:sha9","impure")',
    `("out","/nix/store/${"1".repeat(32)}-x","sha9","0a1b")`,
  ])("a derivation keeps its output %s", (outputs) => {
    const text = `Derive([${outputs}],[],[],"x86_64-linux","/bin/sh",[],[("name","x")])`;
    const { inputDerivations, ...basic } = parseDerivation(storeDir, "x", byteStringFromText(text));
    expect(inputDerivations.size).toBe(0);
    expect(basicDerivationFromWire(basicDerivationToWire(basic), "drv")).toEqual(basic);
  });

  it("a malformed method or hash is refused", () => {
    const text = 'Derive([("out","","new:sha9","")],[],[],"x86_64-linux","/bin/sh",[],[])';
    const message = basicDerivationToWire(parseDerivation(storeDir, "x", byteStringFromText(text)));
    const output = message.outputs.out?.output;
    if (output?.case !== "foreign") throw new Error("not foreign");
    output.value.method = "New:sha9";
    expect(() => basicDerivationFromWire(message, "drv")).toThrow("hash method");
    output.value.method = "new:sha9";
    output.value.hash = "a b";
    expect(() => basicDerivationFromWire(message, "drv")).toThrow("is not a hash");
  });

  it.each(["fixed:git:sha1:dan5nazz0s2bd2h86f4kgip1ck2ssdnq", "fixed:foo:sha9:0123abcd"])(
    "a path info keeps its address %s",
    (address) => {
      const path = parseStorePath(`${"b".repeat(32)}-x`);
      const info = { ...infoOf("x", 5), path, ca: parseContentAddress(address) };
      expect(pathInfoFromWire(pathInfoToWire(storeDir, info), "info").ca).toEqual(info.ca);
    },
  );
});
