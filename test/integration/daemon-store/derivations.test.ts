// Derivations in a store behind a real nix-daemon.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openStore } from "../../../lib/nix/daemon/open-store.js";
import { hashDerivationModulo } from "../../../lib/nix/derivation/paths.js";
import { computeDerivationPath, printDerivation } from "../../../lib/nix/derivation/printer.js";
import { byteStringFromText } from "../../../lib/nix/path/byte-string.js";
import { printHash } from "../../../lib/nix/path/hash.js";
import { parseAnyStorePath } from "../../../lib/nix/path/store-path.js";
import {
  basic,
  chunks,
  derivation,
  main,
  never,
  textFile,
  useMainStore,
} from "../../support/daemon-store.js";
import { shellDerivation } from "../../support/nix.js";

useMainStore();

describe("derivations", () => {
  const expression = shellDerivation(
    "drv",
    "echo hi > $out",
    'FOO = "a\\nb\\t\\"c\\\\"; outputs = ["out" "dev"];',
  );

  it("reads, prints and names them as Nix does", async () => {
    const { path, drv } = await derivation(expression);
    const file = await readFile(join(main.store.realStoreDir, path));
    expect(Buffer.from(printDerivation(main.store.storeDir, drv), "latin1").equals(file)).toBe(true);
    expect(computeDerivationPath(main.store.storeDir, drv)).toBe(path);
    expect(drv.env.get(byteStringFromText("FOO"))).toBe('a\nb\t"c\\');
  });

  it("reads them from the daemon when the file is out of reach", async () => {
    const { path, drv } = await derivation(expression);
    const nowhere = join(main.directory, "nowhere");
    await using distant = await openStore(`${main.nix.remote}&real=${nowhere}`, { env: main.nix.env });
    expect(await distant.readDerivation(path)).toEqual(drv);
  });

  it("says what is wrong with a path that is no derivation", async () => {
    const path = await main.store.addTextToStore("not-a-derivation", Buffer.from("something else"), []);
    await expect(main.store.readDerivation(path)).rejects.toThrow(/derivation|Derive/i);
    await expect(
      main.store.addTextToStore("text.drv", Buffer.from("something else"), []),
    ).rejects.toMatchObject({
      code: "remote",
    });
  });

  it("knows the outputs", async () => {
    const { path, drv } = await derivation(expression);
    const map = await main.store.queryDerivationOutputMap(path);
    expect([...map.keys()].sort()).toEqual(["dev", "out"]);
    for (const [name, output] of drv.outputs)
      expect(output).toEqual({ kind: "inputAddressed", path: map.get(name) });
  });

  it("says what would have to be built", async () => {
    const { path } = await derivation(shellDerivation("missing", "echo > $out"));
    const missing = await main.store.queryMissing([{ kind: "built", drvPath: path, outputs: ["out"] }]);
    expect(missing.willBuild).toEqual([path]);
    expect(missing.willSubstitute).toEqual([]);
  });
});

describe("content-addressed derivations", () => {
  const floating = (name: string, text: string): string =>
    shellDerivation(
      name,
      text,
      '__contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256";',
    );

  it("learns output paths and realisations from the build", async () => {
    const { path, drv } = await derivation(floating("floating", "echo content > $out"));
    expect((await main.store.queryDerivationOutputMap(path)).get("out")).toBeUndefined();
    const result = await main.store.buildDerivation(path, basic(drv));
    expect(result.status).toBe("built");
    const out = result.builtOutputs.get("out");
    expect(out).toBeDefined();
    expect((await main.store.queryDerivationOutputMap(path)).get("out")).toBe(out);
    const info = out === undefined ? undefined : await main.store.queryPathInfo(out);
    expect(info?.ca?.method).toBe("nixArchive");
    const modulo = hashDerivationModulo(main.store.storeDir, drv, () => never("it has no inputs"), true);
    if (modulo.kind === "fixed") throw new Error("it is not fixed");
    const id = { drvPath: path, drvHash: printHash(modulo.hash, "base16"), outputName: "out" };
    expect(await main.store.queryRealisation(id)).toMatchObject({ outPath: out });
  });

  it("registers a realisation", async () => {
    const file = textFile("realised", "realised");
    await main.store.addToStoreNar(file.info, chunks(file.nar));
    const id = {
      drvPath: parseAnyStorePath(main.store.storeDir, `${"0".repeat(32)}-other.drv`),
      drvHash: `sha256:${"ab".repeat(32)}`,
      outputName: "out",
    };
    expect(await main.store.queryRealisation(id)).toBeUndefined();
    await main.store.registerDrvOutput(id, { outPath: file.path, signatures: [] });
    expect(await main.store.queryRealisation(id)).toEqual({ outPath: file.path, signatures: [] });
  });
});
