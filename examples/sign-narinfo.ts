// Makes a key, describes a path in a .narinfo, signs it, and checks the signature as Nix would.
import { generateKeyPairSync } from "node:crypto";

import {
  defaultStoreDir,
  hashBytes,
  type NarInfo,
  PublicKey,
  parseNarInfo,
  parseStorePath,
  pathFingerprint,
  printNarInfo,
  Signer,
  verifySignature,
} from "hydra-runner/nix";

/** What `nix-store --generate-binary-cache-key` writes: name, seed and public half. */
function newKey(name: string): string {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const seed = privateKey.export({ format: "der", type: "pkcs8" }).subarray(-32);
  const half = publicKey.export({ format: "der", type: "spki" }).subarray(-32);
  return `${name}:${Buffer.concat([seed, half]).toString("base64")}`;
}

const signer = Signer.parse(newKey("cache.example.org-1"));
const unsigned: NarInfo = {
  path: parseStorePath("z478pbvgmdpvyc6lp4786fqpjikh7jqf-hello-2.12"),
  deriver: undefined,
  narHash: hashBytes("sha256", new TextEncoder().encode("the NAR")),
  narSize: 7,
  references: [],
  registrationTime: 0,
  ultimate: false,
  signatures: [],
  ca: undefined,
  url: "nar/0000000000000000000000000000000000000000000000000000.nar.zst",
  compression: "zstd",
  fileHash: undefined,
  fileSize: undefined,
};
const signed: NarInfo = {
  ...unsigned,
  signatures: [signer.sign(pathFingerprint(defaultStoreDir, unsigned))],
};

const text = printNarInfo(defaultStoreDir, signed);
console.log(text);

const trusted = [PublicKey.parse(signer.publicKey)];
const read = parseNarInfo(defaultStoreDir, text);
console.log(`as it is: ${verifySignature(defaultStoreDir, read, trusted) ? "trusted" : "refused"}`);
const forged = { ...read, narSize: read.narSize + 1 };
console.log(
  `with another size: ${verifySignature(defaultStoreDir, forged, trusted) ? "trusted" : "refused"}`,
);
