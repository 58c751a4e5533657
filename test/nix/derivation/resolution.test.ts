/** Resolution and required features, against what the recorded queue-runner sent to its builder. */
import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type BasicDerivation,
  computeDerivationPath,
  type Derivation,
  type DerivedInput,
  defaultStoreDir,
  derivationOutputPath,
  downstreamPlaceholder,
  fillDeferredOutputs,
  NixFormatError,
  outputPlaceholder,
  parseDerivation,
  parseFullStorePath,
  parseStorePath,
  preferLocalBuild,
  printDerivation,
  printHash,
  requiredSystemFeatures,
  resolveDerivation,
  type StorePath,
} from "../../../lib/nix/index.js";
import { type ByteString, byteStringFromText, byteStringToBytes } from "../../../lib/nix/path/byte-string.js";

const dir = defaultStoreDir;
const byteString = (text: string): ByteString => byteStringFromText(text);

interface Row {
  readonly build: number;
  readonly stepnr: number;
}
interface Case {
  readonly derivations?: Readonly<Record<string, string>>;
  readonly rows: {
    readonly BuildSteps: readonly (Row & {
      readonly drvpath: string;
      readonly resolveddrvpath: string | null;
    })[];
    readonly BuildStepOutputs: readonly (Row & { readonly name: string; readonly path: string | null })[];
  };
}
interface WireOutput {
  readonly input_addressed?: { readonly path: string };
  readonly ca_fixed?: unknown;
  readonly ca_floating?: unknown;
}
interface WireBasic {
  readonly name: string;
  readonly outputs: Readonly<Record<string, WireOutput>>;
  readonly inputs?: readonly { readonly path: string }[];
  readonly platform: string;
  readonly builder: string;
  readonly args?: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

const cases = JSON.parse(readFileSync("test/fixtures/observed/cases.json", "utf8")) as Case[];
const recorded = new Map<StorePath, Derivation>();
/** `drv^output` → path, and resolved derivation → the one it came from, as the database rows say. */
const outputs = new Map<string, StorePath>();
const originals = new Map<StorePath, StorePath>();
for (const { derivations, rows } of cases) {
  for (const [full, text] of Object.entries(derivations ?? {})) {
    const path = parseFullStorePath(dir, full);
    recorded.set(path, parseDerivation(dir, path.slice(33, -4), byteString(text)));
  }
  for (const step of rows.BuildSteps) {
    const drv = parseFullStorePath(dir, step.drvpath);
    if (step.resolveddrvpath !== null) originals.set(parseStorePath(step.resolveddrvpath), drv);
    for (const output of rows.BuildStepOutputs) {
      if (output.build !== step.build || output.stepnr !== step.stepnr || output.path === null) continue;
      outputs.set(`${drv}^${output.name}`, parseFullStorePath(dir, output.path));
    }
  }
}
/** Outputs of a derivation that was resolved are those of what it resolved to. */
for (const [resolved, original] of originals) {
  for (const [key, path] of new Map(outputs)) {
    if (key.startsWith(`${resolved}^`)) outputs.set(`${original}^${key.slice(resolved.length + 1)}`, path);
  }
}
const sent = ["wire.jsonl", "wire-presigned.jsonl"].flatMap((file) =>
  readFileSync(`test/fixtures/observed/${file}`, "utf8")
    .split("\n")
    .filter((line) => line.includes('"resolved_drv"'))
    .map(
      (line) =>
        (
          JSON.parse(line) as {
            readonly msg: {
              readonly build: { readonly drv: { readonly path: string }; readonly resolved_drv: WireBasic };
            };
          }
        ).msg.build,
    ),
);

const base64 = (text: ByteString): string => Buffer.from(byteStringToBytes(text)).toString("base64");

/** The shape of the wire message, without the empty lists that proto JSON leaves out. */
function toWire(basic: BasicDerivation): WireBasic {
  return {
    name: basic.name,
    outputs: Object.fromEntries(
      [...basic.outputs].map(([name, output]) => {
        switch (output.kind) {
          case "inputAddressed":
            return [name, { input_addressed: { path: output.path } }];
          case "caFixed": {
            const digest = Buffer.from(output.ca.hash.digest).toString("base64");
            return [name, { ca_fixed: { digest, method: output.ca.method } }];
          }
          case "caFloating":
            return [name, { ca_floating: { method: output.method } }];
          case "deferred":
          case "impure":
          case "foreign":
        }
        throw new Error(`unexpected ${output.kind}`);
      }),
    ),
    ...(basic.inputSources.length === 0 ? {} : { inputs: basic.inputSources.map((path) => ({ path })) }),
    platform: base64(basic.system),
    builder: base64(basic.builder),
    args: basic.args.map(base64),
    env: Object.fromEntries([...basic.env].map(([key, value]) => [key, base64(value)])),
  };
}

/** Makes the content addresses of a recorded message comparable with `toWire`. */
function simplify(wire: WireBasic): WireBasic {
  const methods: Readonly<Record<string, string>> = { NIX_ARCHIVE: "nixArchive", FLAT: "flat", TEXT: "text" };
  const simple = JSON.parse(JSON.stringify(wire), (key, value: unknown) => {
    if (key === "ca_fixed") {
      const { method, hash } = value as { method?: string; hash: { digest: string } };
      return { digest: hash.digest, method: methods[method ?? "TEXT"] };
    }
    if (key === "ca_floating") return { method: methods[(value as { method?: string }).method ?? "TEXT"] };
    return value;
  }) as WireBasic;
  return simple;
}

const lookup = (drv: StorePath, names: readonly string[]): StorePath | undefined => {
  const [name, ...rest] = names;
  if (name === undefined || rest.length > 0) return undefined;
  const known = recorded.get(drv);
  return (known && derivationOutputPath(dir, known, name)) ?? outputs.get(`${drv}^${name}`);
};

describe("resolution of the recorded derivations", () => {
  it("gives what the queue-runner sent, for input-addressed, fixed, floating and deferred outputs", () => {
    const kinds = new Map<string, number>();
    let compared = 0;
    for (const { drv, resolved_drv: wire } of sent) {
      const path = parseStorePath(drv.path);
      const original = originals.get(path) ?? path;
      const derivation = recorded.get(original);
      if (derivation === undefined) continue;
      const resolved = resolveDerivation(dir, derivation, lookup);
      if (!resolved.ok) throw new Error(`${drv.path}: ${JSON.stringify(resolved.missing)}`);
      const filled = fillDeferredOutputs(dir, resolved.basic);
      expect(toWire(filled)).toEqual(simplify(wire));
      if (original !== path) {
        expect(computeDerivationPath(dir, { ...filled, inputDerivations: new Map() })).toBe(path);
      }
      for (const output of derivation.outputs.values()) {
        kinds.set(output.kind, (kinds.get(output.kind) ?? 0) + 1);
      }
      compared++;
    }
    expect(compared).toBeGreaterThanOrEqual(15);
    expect([...kinds.keys()].sort()).toEqual(["caFixed", "caFloating", "deferred", "inputAddressed"]);
  });

  it("names every output it cannot find", () => {
    const deferred = [...recorded.values()].find((drv) => drv.name === "defd");
    if (deferred === undefined) throw new Error("not recorded");
    const resolved = resolveDerivation(dir, deferred, () => undefined);
    expect(resolved).toEqual({
      ok: false,
      missing: [{ drv: "k9pnipvkmjp8a7qlbdyxpr6k8vhv5xi9-cac.drv", outputs: ["out"] }],
    });
  });
});

describe("placeholders", () => {
  it("are those that Nix wrote into the recorded derivations", () => {
    expect(outputPlaceholder("out")).toBe("/1rz4g4znpzjwh1xymhjpm42vipw92pr73vdgl6xs1hycac8kf2n9");
    const drv = parseStorePath("k9pnipvkmjp8a7qlbdyxpr6k8vhv5xi9-cac.drv");
    expect(downstreamPlaceholder(drv, ["out"])).toBe("/1ka15y5nh1cjsf2wkhliw2id804xddr7napq17jx5maaqn7a8n6h");
  });
});

const hashPart = "0c0xk2rpdj6xrb9xsd0rlvf1v7mkbbq6";
const dynamicText = (node: string): string =>
  `DrvWithVersion("xp-dyn-drv",[("out","","","")],[("/nix/store/${hashPart}-a.drv",${node})],[],"s","/b",[],[])`;

describe("dynamic derivations", () => {
  it("are written back byte for byte", () => {
    for (const node of [
      '["x"]',
      '(["x"],[("out",["y"])])',
      '([],[("a",(["m","n"],[("b",["c"])])),("z",["o"])])',
    ]) {
      const text = node.startsWith("[")
        ? dynamicText('([],[("out",["y"])])').replace('([],[("out",["y"])])', node)
        : dynamicText(node);
      const drv = parseDerivation(dir, "d", byteString(text));
      // Without a dynamic input Nix uses the plain form.
      const plain = text.replace('DrvWithVersion("xp-dyn-drv",', "Derive(");
      expect(printDerivation(dir, drv)).toBe(node.startsWith("[") ? plain : text);
    }
  });

  it("are refused when the nesting is a bomb, without exhausting the stack", () => {
    const bomb = `${'([],[("o",'.repeat(200_000)}["x"]`;
    expect(() => parseDerivation(dir, "d", byteString(dynamicText(bomb)))).toThrow(NixFormatError);
  });

  it("resolve through the outputs of outputs", () => {
    const drv = parseStorePath(`${hashPart}-a.drv`);
    const placeholder = downstreamPlaceholder(drv, ["out", "lib"]);
    const text = dynamicText('([],[("out",["lib"])])').replace("[],[])", `["x ${placeholder} y"],[])`);
    const made = parseStorePath(`${hashPart}-made`);
    const resolved = resolveDerivation(dir, parseDerivation(dir, "d", byteString(text)), (root, names) =>
      root === drv && names.join() === "out,lib" ? made : undefined,
    );
    if (!resolved.ok) throw new Error("not resolved");
    expect(resolved.basic.args).toEqual([`x /nix/store/${made} y`]);
    expect(resolved.basic.inputSources).toEqual([made]);
  });
});

function withEnv(env: Readonly<Record<string, string>>): Derivation {
  return {
    name: "x",
    outputs: new Map([["out", { kind: "deferred" }]]),
    inputSources: [],
    inputDerivations: new Map<StorePath, DerivedInput>(),
    system: byteString("s"),
    builder: byteString("/b"),
    args: [],
    env: new Map(Object.entries(env).map(([key, value]) => [byteString(key), byteString(value)])),
  };
}

describe("wishes of a derivation", () => {
  it("come from plain variables", () => {
    const drv = withEnv({ requiredSystemFeatures: " kvm\tbig-parallel\n", preferLocalBuild: "1" });
    expect(requiredSystemFeatures(drv)).toEqual(["kvm", "big-parallel"]);
    expect(preferLocalBuild(drv)).toBe(true);
    expect(requiredSystemFeatures(withEnv({}))).toEqual([]);
    expect(preferLocalBuild(withEnv({ preferLocalBuild: "" }))).toBe(false);
  });

  it("come from structured attributes alone where there are some", () => {
    const json = JSON.stringify({ requiredSystemFeatures: ["kvm", 3, "nixos-test"], preferLocalBuild: true });
    const drv = withEnv({ __json: json, requiredSystemFeatures: "other" });
    expect(requiredSystemFeatures(drv)).toEqual(["kvm", "nixos-test"]);
    expect(preferLocalBuild(drv)).toBe(true);
    expect(requiredSystemFeatures(withEnv({ __json: "{}", requiredSystemFeatures: "other" }))).toEqual([]);
  });
});

const anyBytes = fc
  .uint8Array({ maxLength: 20 })
  .map((bytes) => Buffer.from(bytes).toString("latin1") as ByteString);
const anyName = fc.stringMatching(/^[a-z][a-z0-9_]{0,8}$/);
const anyPath = fc
  .tuple(fc.stringMatching(/^[0-9a-df-np-sv-z]{32}$/), anyName)
  .map(([hash, name]) => parseStorePath(`${hash}-${name}`));
const { input: anyInput } = fc.letrec<{ input: DerivedInput }>((tie) => ({
  input: fc.record({
    outputs: fc.uniqueArray(anyName, { maxLength: 3 }).map((names) => names.sort()),
    dynamic: fc
      .oneof({ maxDepth: 3 }, fc.constant([]), fc.array(fc.tuple(anyName, tie("input")), { maxLength: 2 }))
      .map((entries) => new Map(entries)),
  }),
}));
const anyDerivation: fc.Arbitrary<Derivation> = fc.record({
  name: anyName,
  outputs: fc
    .array(
      fc.tuple(
        anyName,
        fc.oneof(
          anyPath.map((path) => ({ kind: "inputAddressed" as const, path })),
          fc.constant({ kind: "deferred" as const }),
          fc.uint8Array({ minLength: 64, maxLength: 64 }).map((digest) => ({
            kind: "caFixed" as const,
            ca: { method: "nixArchive" as const, hash: { algorithm: "sha512" as const, digest } },
          })),
          fc.constant({ kind: "caFloating" as const, method: "text" as const, algorithm: "sha256" as const }),
          fc.constant({ kind: "impure" as const, method: "flat" as const, algorithm: "sha1" as const }),
          fc.constantFrom("", "impure").map((hash) => ({
            kind: "foreign" as const,
            path: undefined,
            method: "new:sha9",
            hash,
          })),
        ),
      ),
      { minLength: 1, maxLength: 3 },
    )
    .map((entries) => new Map(entries)),
  inputSources: fc.uniqueArray(anyPath, { maxLength: 3 }).map((paths) => paths.sort()),
  inputDerivations: fc
    .array(fc.tuple(anyPath, anyInput), { maxLength: 3 })
    .map((entries) => new Map(entries)),
  system: anyBytes,
  builder: anyBytes,
  args: fc.array(anyBytes, { maxLength: 3 }),
  env: fc.array(fc.tuple(anyBytes, anyBytes), { maxLength: 4 }).map((entries) => new Map(entries)),
});

describe("any derivation", () => {
  it("is read back as it was written", () => {
    fc.assert(
      fc.property(anyDerivation, (drv) => {
        const text = printDerivation(dir, drv);
        const read = parseDerivation(dir, drv.name, text);
        expect(printDerivation(dir, read)).toBe(text);
        expect(read.env).toEqual(drv.env);
        expect(read.inputDerivations).toEqual(drv.inputDerivations);
        expect(read.inputSources).toEqual(drv.inputSources);
        for (const [name, output] of drv.outputs) {
          const found = read.outputs.get(name);
          expect(found?.kind).toBe(output.kind);
          if (output.kind === "caFixed" && found?.kind === "caFixed") {
            expect(printHash(found.ca.hash, "sri")).toBe(printHash(output.ca.hash, "sri"));
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it("tells the position of a path that is none", () => {
    const text = byteString('Derive([("out","/nix/store/nonsense","","")],[],[],"","",[],[])');
    expect(() => parseDerivation(dir, "x", text)).toThrow(
      expect.objectContaining({ code: "derivation", position: 9 }),
    );
  });
});
