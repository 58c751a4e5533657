/** Nix's formats: texts of derivations, narinfos, listings, realisations, archives, names and hashes. */
import { readFileSync } from "node:fs";
import {
  byteStringToBytes,
  defaultStoreDir,
  dumpTree,
  type NarTree,
  parseBuildTrace,
  parseContentAddress,
  parseDerivation,
  parseHash,
  parseListing,
  parseNar,
  parseNarInfo,
  parseRealisation,
  parseStorePath,
  printBuildTrace,
  printContentAddress,
  printDerivation,
  printHash,
  printListing,
  printNarInfo,
  printRealisation,
  Signer,
} from "../../../lib/nix/index.js";
import { assert, type FuzzTarget } from "../target.js";

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("utf8");
const bytes = (value: string): Uint8Array => Buffer.from(value, "utf8");

/** Objects of a recorded binary cache by the ending of their names. */
function recordedObjects(ending: string): Uint8Array[] {
  const cache = JSON.parse(readFileSync("test/fixtures/observed/cache.json", "utf8")) as unknown;
  const found: Uint8Array[] = [];
  const walk = (value: unknown, name: string): void => {
    if (typeof value === "string" && name.endsWith(ending)) found.push(bytes(value));
    if (typeof value === "object" && value !== null)
      for (const [key, member] of Object.entries(value)) walk(member, key);
  };
  walk(cache, "");
  return found;
}

const derivation = [
  'Derive([("out","/nix/store/7w5rr17m3cbrcgx2ljqd6s0l9hzhlg1q-a","","")],[("/nix/store/z478pbvgmdpvyc6lp4786fqpjikh7jqf-hello.drv",["out","dev"])],["/nix/store/nzz2plms4ahwsqgx9lj38g6g48kahv9d-source"],"x86_64-linux","/bin/sh",["-c","echo \\"x\\\\n\\" \\t\\n"],[("name","a"),("out","/nix/store/7w5rr17m3cbrcgx2ljqd6s0l9hzhlg1q-a"),("requiredSystemFeatures","kvm big-parallel")])',
  'Derive([("out","","r:sha256","")],[],[],"builtin","builtin:fetchurl",[],[("__structuredAttrs","1"),("__json","{\\"a\\":[1,2]}")])',
  'DrvWithVersion("xp-dyn-drv",[("out","","text:sha256","")],[("/nix/store/z478pbvgmdpvyc6lp4786fqpjikh7jqf-hello.drv",(["out"],[("out",["out"])]))],[],"x86_64-linux","/bin/sh",[],[])',
].map(bytes);

const narInfo = [
  bytes(
    [
      "StorePath: /nix/store/7w5rr17m3cbrcgx2ljqd6s0l9hzhlg1q-a",
      "URL: nar/1w1fff338fvdw53sqgamddn1b2xgds473pv6y13gizdbqjv4i5p3.nar.xz",
      "Compression: xz",
      "FileHash: sha256:1w1fff338fvdw53sqgamddn1b2xgds473pv6y13gizdbqjv4i5p3",
      "FileSize: 4029176",
      "NarHash: sha256:0lxjvvpr59c2mdram7ympy5ay741f180kv3349hvfc3f8nrmbqf6",
      "NarSize: 18735072",
      "References: 7w5rr17m3cbrcgx2ljqd6s0l9hzhlg1q-a",
      "Deriver: z478pbvgmdpvyc6lp4786fqpjikh7jqf-hello.drv",
      "Sig: cache-1:0CpHca+06TwFp9VkMyz5OaphT3E8mnS+1SWymYlvFaghKSYPCMQ66TS1XPAr1+y9rfQZPLaHrBjjnIRktE/nAA==",
      "CA: fixed:r:sha256:1w1fff338fvdw53sqgamddn1b2xgds473pv6y13gizdbqjv4i5p3",
      "",
    ].join("\n"),
  ),
  ...recordedObjects(".narinfo"),
];

function nars(): Uint8Array[] {
  const file: NarTree = { kind: "regular", executable: true, contents: bytes("#!/bin/sh\n") };
  const folder: NarTree = {
    kind: "directory",
    entries: new Map<string, NarTree>([
      ["empty", { kind: "directory", entries: new Map() }],
      ["file", file],
      ["link", { kind: "symlink", target: "file" }],
    ]),
  };
  const tree: NarTree = {
    kind: "directory",
    entries: new Map<string, NarTree>([
      ["a", folder],
      ["b", file],
    ]),
  };
  return [file, folder, tree].map((one) => Buffer.concat([...dumpTree(one)]));
}

async function* once(input: Uint8Array): AsyncGenerator<Uint8Array> {
  yield input;
}

const listing = bytes(
  '{"version":1,"root":{"type":"directory","entries":{"bin":{"type":"directory","entries":{"hi":{"type":"regular","size":18,"executable":true,"narOffset":400}}},"link":{"type":"symlink","target":"bin/hi"}}}}',
);
const realisation = bytes(
  '{"dependentRealisations":{},"id":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad!out","outPath":"7w5rr17m3cbrcgx2ljqd6s0l9hzhlg1q-a","signatures":["k:0CpHca+06TwFp9VkMyz5OaphT3E8mnS+1SWymYlvFaghKSYPCMQ66TS1XPAr1+y9rfQZPLaHrBjjnIRktE/nAA=="]}',
);

export const nixTargets: readonly FuzzTarget[] = [
  {
    name: "derivation",
    seeds: derivation,
    weight: 3,
    run(input) {
      const parsed = parseDerivation(defaultStoreDir, "a", input);
      const printed = byteStringToBytes(printDerivation(defaultStoreDir, parsed));
      const again = printDerivation(defaultStoreDir, parseDerivation(defaultStoreDir, "a", printed));
      assert(Buffer.from(byteStringToBytes(again)).equals(printed), "printing and reading again changes it");
    },
  },
  {
    name: "narinfo",
    seeds: narInfo,
    weight: 2,
    run(input) {
      const parsed = parseNarInfo(defaultStoreDir, text(input));
      const printed = printNarInfo(defaultStoreDir, parsed);
      assert(
        printNarInfo(defaultStoreDir, parseNarInfo(defaultStoreDir, printed)) === printed,
        "printing and reading again changes it",
      );
    },
  },
  {
    name: "nar",
    seeds: nars(),
    weight: 2,
    async run(input) {
      for await (const event of parseNar(once(input))) assert(event.kind.length > 0, "an event without kind");
    },
  },
  {
    name: "listing",
    seeds: [listing, ...recordedObjects(".ls")],
    run(input) {
      const parsed = parseListing(text(input));
      assert(printListing(parseListing(printListing(parsed))) === printListing(parsed), "not stable");
    },
  },
  {
    name: "realisation",
    seeds: [realisation, ...recordedObjects(".doi")],
    run(input) {
      const parsed = parseRealisation(text(input));
      assert(
        printRealisation(parseRealisation(printRealisation(parsed))) === printRealisation(parsed),
        "not stable",
      );
    },
  },
  {
    name: "build-trace",
    seeds: [bytes('{"outPath":"7w5rr17m3cbrcgx2ljqd6s0l9hzhlg1q-a","signatures":[]}')],
    run(input) {
      const parsed = parseBuildTrace(text(input));
      assert(
        printBuildTrace(parseBuildTrace(printBuildTrace(parsed))) === printBuildTrace(parsed),
        "not stable",
      );
    },
  },
  {
    name: "store-path",
    seeds: [bytes("7w5rr17m3cbrcgx2ljqd6s0l9hzhlg1q-hello-2.12.1")],
    run(input) {
      assert(parseStorePath(text(input)) === text(input), "a path is not its own text");
    },
  },
  {
    name: "hash",
    seeds: [
      bytes("sha256:1w1fff338fvdw53sqgamddn1b2xgds473pv6y13gizdbqjv4i5p3"),
      bytes("sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="),
      bytes("sha1:a9993e364706816aba3e25717850c26c9cd0d89d"),
    ],
    run(input) {
      const hash = parseHash(text(input));
      for (const encoding of ["base16", "nix32", "base64"] as const) {
        assert(
          printHash(parseHash(printHash(hash, encoding)), "base16") === printHash(hash, "base16"),
          encoding,
        );
      }
    },
  },
  {
    name: "content-address",
    seeds: ["text:sha256:", "fixed:sha256:", "fixed:r:sha256:", "fixed:git:sha1:"].map((kind) =>
      bytes(
        kind +
          (kind.includes("sha1")
            ? "kpcd173cq987hw957sx6m0868wv3x6d9"
            : "1w1fff338fvdw53sqgamddn1b2xgds473pv6y13gizdbqjv4i5p3"),
      ),
    ),
    run(input) {
      const printed = printContentAddress(parseContentAddress(text(input)));
      assert(printContentAddress(parseContentAddress(printed)) === printed, "not stable");
    },
  },
  {
    name: "signing-key",
    seeds: [bytes(`cache-1:${Buffer.alloc(64, 7).toString("base64")}`)],
    run(input) {
      const signer = Signer.parse(text(input));
      assert(signer instanceof Signer, "no key");
    },
  },
];
