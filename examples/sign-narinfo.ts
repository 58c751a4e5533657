// Makes a key, describes a path in a .narinfo, signs it, and checks the signature as Nix would.
import {
  defaultStoreDir,
  generateSecretKey,
  hashBytes,
  type NarInfo,
  newNarInfo,
  PublicKey,
  parseNarInfo,
  parseStorePath,
  printNarInfo,
  Signer,
  verifySignature,
} from "hydra-runner/nix";

const signer = Signer.parse(generateSecretKey("cache.example.org-1"));
const info = newNarInfo({
  path: parseStorePath("z478pbvgmdpvyc6lp4786fqpjikh7jqf-hello-2.12"),
  narHash: hashBytes("sha256", new TextEncoder().encode("the NAR")),
  narSize: 7,
  url: "nar/0000000000000000000000000000000000000000000000000000.nar.zst",
  compression: "zstd",
});
const text = printNarInfo(defaultStoreDir, signer.signPath(defaultStoreDir, info));
console.log(text);

const keys = [PublicKey.parse(signer.publicKey)];
const judge = (one: NarInfo) => (verifySignature(defaultStoreDir, one, keys) ? "trusted" : "refused");
const read = parseNarInfo(defaultStoreDir, text);
console.log(`as it is: ${judge(read)}`);
console.log(`with another size: ${judge({ ...read, narSize: read.narSize + 1 })}`);
