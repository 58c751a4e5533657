// The daemon is the judge: what `nix-build` builds on a store of its own, the pair builds with the same contents, and what
// it does not build fails with us too. Kinds of derivations that follow rules of their own, good and bad ones of each.
import { afterAll, beforeAll, expect, test } from "vitest";
import { shellDerivation, startNixStore, type TestNixStore } from "../../support/nix.js";
import { usePair } from "../../support/pair.js";
import { testDatabase } from "../../support/test-database.js";

const nixConf = "extra-experimental-features = recursive-nix";
const pair = usePair(async () => ({
  databaseUrl: await testDatabase(),
  builders: [{ settings: { maxJobs: 4 }, nixConf }],
  nixConf,
  runner: { maxRetries: 1 },
}));

let judge: TestNixStore;
beforeAll(async () => {
  judge = await startNixStore({ directory: pair().folder, name: "judge", extraConf: nixConf });
});
afterAll(() => judge.close());

/** `printf hello | …sum`, in the forms that Nix takes. */
const hello = {
  md5: "5d41402abc4b2a76b9719d911017c592",
  sha1: "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d",
  sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
  sri: "sha256-LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
  sha512:
    "9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca72323c3d99ba5c11d7c7acc6e14b8c5da0c4663475c2e5c3adef46f73bcdec043",
};
const fixed = (name: string, attributes: string): string =>
  shellDerivation(name, "printf hello > $out", attributes);
const quick = (name: string, attributes: string, script = "echo > $out"): string =>
  shellDerivation(name, script, attributes);
const input = `(${shellDerivation("input", "echo input > $out")})`;
/** The attributes are a file; its outputs stand there by name. */
const readOut = `out=$(/bin/busybox sed 's/.*"out":"\\([^"]*\\)".*/\\1/' "$NIX_ATTRS_JSON_FILE")`;
const structured = (name: string, attributes: string, script: string): string =>
  shellDerivation(name, `${readOut}; ${script}`, `__structuredAttrs = true; ${attributes}`);

const kinds: Readonly<Record<string, string>> = {
  "a fixed output by md5": fixed("md5", `outputHashAlgo = "md5"; outputHash = "${hello.md5}";`),
  "a fixed output by sha1": fixed("sha1", `outputHashAlgo = "sha1"; outputHash = "${hello.sha1}";`),
  "a fixed output by sha512": fixed("sha512", `outputHashAlgo = "sha512"; outputHash = "${hello.sha512}";`),
  "a fixed output without an algorithm": fixed("sri", `outputHash = "${hello.sri}";`),
  "a fixed output of the mode recursive, wrong": fixed(
    "recursive",
    `outputHashMode = "recursive"; outputHashAlgo = "sha256"; outputHash = "${hello.sha256}";`,
  ),
  "a fixed output with another hash": shellDerivation(
    "other-hash",
    "printf other > $out",
    `outputHashAlgo = "sha256"; outputHash = "${hello.sha256}";`,
  ),
  "a fixed output that refers to something": shellDerivation(
    "fixed-refers",
    "echo $input > $out",
    `input = ${input}; outputHashAlgo = "sha256"; outputHash = "${hello.sha256}";`,
  ),
  "a content-addressed output, recursive": quick(
    "ca-recursive",
    '__contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256";',
    "/bin/busybox mkdir $out; echo $out > $out/self",
  ),
  "a content-addressed output, flat, by sha512": quick(
    "ca-flat",
    '__contentAddressed = true; outputHashMode = "flat"; outputHashAlgo = "sha512";',
    "printf flat > $out",
  ),
  "a content-addressed output, flat, that is a directory": quick(
    "ca-flat-directory",
    '__contentAddressed = true; outputHashMode = "flat"; outputHashAlgo = "sha256";',
    "/bin/busybox mkdir $out",
  ),
  "allowed references, kept": quick(
    "allowed",
    `input = ${input}; allowedReferences = [ ${input} ];`,
    "echo $input > $out",
  ),
  "allowed references, broken": quick(
    "not-allowed",
    `input = ${input}; allowedReferences = [ ];`,
    "echo $input > $out",
  ),
  "disallowed requisites, broken": quick(
    "disallowed",
    `input = ${input}; disallowedRequisites = [ ${input} ];`,
    "echo $input > $out",
  ),
  "an exported graph of references": quick(
    "graph",
    `exportReferencesGraph = [ "graph" ${input} ];`,
    "/bin/busybox cat graph > $out",
  ),
  "text passed as a file": quick(
    "as-file",
    'text = "in a file"; passAsFile = [ "text" ];',
    "/bin/busybox cat $textPath > $out",
  ),
  "structured attributes": structured(
    "structured",
    'list = [ "a b" "c" ];',
    "/bin/busybox grep -o '\"list\":[^]]*' $NIX_ATTRS_JSON_FILE > $out",
  ),
  "structured attributes with a size that is exceeded": structured(
    "structured-size",
    "outputChecks.out.maxSize = 10;",
    "echo more than ten bytes > $out",
  ),
  "structured attributes that ask for a feature": structured(
    "structured-feature",
    'requiredSystemFeatures = [ "recursive-nix" ];',
    "echo > $out",
  ),
  "an output that is not made": quick("missing-output", 'outputs = [ "out" "dev" ];'),
  "an output that is a link to nowhere": quick("link", "", "/bin/busybox ln -s /nowhere $out"),
  "a system that the machine emulates or runs besides its own": quick("other-system", "").replace(
    "builtins.currentSystem",
    '"i686-linux"',
  ),
  "a download that Nix makes itself": `derivation {
    name = "download"; system = "builtin"; builder = "builtin:fetchurl"; outputHashMode = "flat";
    outputHashAlgo = "sha256"; outputHash = "${hello.sha256}"; url = "file://\${builtins.toFile "hello" "hello"}";
    preferLocalBuild = true; urls = [ "file://\${builtins.toFile "hello" "hello"}" ];
  }`,
  "a builtin that does not exist": `derivation { name = "no-builtin"; system = "builtin"; builder = "builtin:nonsense"; }`,
  "bytes that are no UTF-8 and lines in a variable": quick(
    "bytes",
    'text = "one\\ntwo \\t three";',
    'echo "$text" > $out',
  ),
  "the longest name": quick("n".repeat(207), ""),
};

/** Contents by output name as the daemon hashed them; undefined: not built. */
async function byJudge(expression: string): Promise<readonly string[] | undefined> {
  try {
    const paths = await judge.run("nix-build", ["--no-out-link", "-E", expression]);
    return hashes(judge, paths.trim().split("\n"));
  } catch {
    return undefined;
  }
}

async function hashes(store: TestNixStore, paths: readonly string[]): Promise<readonly string[]> {
  return (await store.run("nix-store", ["--query", "--hash", ...paths])).trim().split("\n");
}

async function byPair(expression: string): Promise<readonly string[] | undefined> {
  const ids = await pair().build(expression);
  await pair().tables.waitFinished(ids);
  const { Builds, BuildOutputs } = await pair().tables.rows(ids);
  if (Builds[0]?.buildstatus !== 0) return undefined;
  const paths = BuildOutputs.filter(({ name }) => name === "out").map(({ path }) => String(path));
  return hashes(pair().store, paths);
}

test.each(Object.entries(kinds))("%s", async (_, expression) => {
  const [expected, built] = await Promise.all([byJudge(expression), byPair(expression)]);
  expect(built).toEqual(expected);
});
