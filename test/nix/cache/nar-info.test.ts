/** Narinfos and signatures. */
import { describe, expect, it } from "vitest";
import {
  defaultStoreDir,
  NixFormatError,
  PublicKey,
  parseNarInfo,
  pathFingerprint,
  printNarInfo,
  Signer,
  verifySignature,
} from "../../../lib/nix/index.js";

const dir = defaultStoreDir;

const secret =
  "test.example.org-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8DoQe/884Qvh1w3RjnS8CZZ+TWMJulDV8d3IZkElUxuA==";
const publicKey = "test.example.org-1:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";

const narInfoText = `StorePath: /nix/store/g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-tree-1.0
URL: nar/1vv1jivvb46l47q5xkbjv7imznqj3dl9c1m740863jjlpxb05l9r.nar
Compression: none
FileHash: sha256:1vv1jivvb46l47q5xkbjv7imznqj3dl9c1m740863jjlpxb05l9r
FileSize: 2384
NarHash: sha256:1vv1jivvb46l47q5xkbjv7imznqj3dl9c1m740863jjlpxb05l9r
NarSize: 2384
References: g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-tree-1.0 h5yj9nwhrzgw40zh0mkpfr339m7qq7ih-greeting
Deriver: 0c0xk2rpdj6xrb9xsd0rlvf1v7mkbbq6-tree-1.0.drv
Sig: test.example.org-1:DxW+ykYS70nhaslztWvr9LhMrQ3LP24TYLhBNJ528Kv4ByfQOnltoqHIRGKNXnpiSchGuRx/1E5Vb3DuOVitDQ==
`;

describe("narinfos and signatures", () => {
  it("are read and written back as published", () => {
    expect(printNarInfo(dir, parseNarInfo(dir, narInfoText))).toBe(narInfoText);
  });

  it("carry the signature that the published key makes", () => {
    const info = parseNarInfo(dir, narInfoText);
    const signer = Signer.parse(`${secret}\n`);
    expect(signer.publicKey).toBe(publicKey);
    expect(signer.sign(pathFingerprint(dir, info))).toBe(info.signatures[0]);
    expect(verifySignature(dir, info, [PublicKey.parse(publicKey)])).toBe(true);
    expect(verifySignature(dir, { ...info, narSize: 1 }, [PublicKey.parse(publicKey)])).toBe(false);
  });

  it.each([
    ["nothing", ""],
    ["no name", ":AAAA"],
    ["a short key", "k:AAAA"],
    ["halves of different keys", secret.replace(/.{4}uA==$/, "AAAAuA==")],
  ])("refuse a secret key with %s and never print it", (_, text) => {
    expect(() => Signer.parse(text)).toThrow(NixFormatError);
    try {
      Signer.parse(text);
    } catch (error) {
      expect(String(error)).not.toContain("AAEC");
    }
  });

  it.each(["StorePath", "URL", "NarHash", "NarSize"])("refuse a narinfo without %s", (key) => {
    const text = narInfoText.replace(new RegExp(`^${key}: .*\n`, "m"), "");
    expect(() => parseNarInfo(dir, text)).toThrow(new RegExp(`${key} is missing`));
  });
});

describe("content addresses in narinfos", () => {
  it.each(["fixed:git:sha1:dan5nazz0s2bd2h86f4kgip1ck2ssdnq", "fixed:foo:sha9:0123abcd", "text:sha9:x"])(
    "are written back: %s",
    (address) => {
      const text = `${narInfoText}CA: ${address}\n`;
      expect(printNarInfo(dir, parseNarInfo(dir, text))).toBe(text);
    },
  );
});
