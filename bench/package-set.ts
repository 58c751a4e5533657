/**
 * A seeded package set with the shape of a nixpkgs release of 11,703 derivations: 65,656 edges; inputs per derivation
 * p50 4, p90 10, p99 18, max 70; direct dependents p50 1, p90 2, p99 32, p99.9 584, max 11,044 (one standard
 * environment); longest chain 55; 49 % fixed-output and prefer-local; files of 2.2 kB (p50) and 6.8 kB (p99).
 */
import {
  byteStringToBytes,
  type Derivation,
  type DerivationOutput,
  defaultStoreDir,
  derivationOutputPath,
  hashBytes,
  printDerivation,
  printHash,
  printStorePath,
  type StorePath,
  byteStringFromText as text,
} from "../lib/nix/index.js";
import { seededRandom } from "./derivation-graph.js";

/** A node of the set. Inputs are smaller indices. */
export interface PackageNode {
  readonly name: string;
  readonly inputs: readonly number[];
  /** A source: its contents are promised, and it prefers to be fetched where it is needed. */
  readonly fixed: boolean;
  /** Bytes that the file has about. */
  readonly size: number;
}

/** A derivation as it is on disk. */
export interface DerivationFile {
  readonly path: StorePath;
  readonly contents: Uint8Array;
  /** A package that no other needs: a job, so that the jobs need the whole set. */
  readonly isJob: boolean;
}

/** How the first derivations follow each other, up to the standard environment that all others need. */
const bootstrap = 26;
/** Packages that need each other in a row, spread over the set. */
const tower = 29;
/** Exponent of the popularity of packages by rank: 584 dependents at one in a thousand, 32 at one in a hundred. */
const popularity = 1.31;
const longestChain = 55;
const fixedShare = 0.49;
const medianSize = 2_200;
/** Bytes of a file without inputs and build phase. */
const bareSize = 1_000;
const sizePerInput = 80;

/** Nodes in topological order; the same for the same arguments. */
export function makePackageSet(derivations: number, seed: number): PackageNode[] {
  const random = seededRandom(seed);
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const nodes: PackageNode[] = [];
  /** Indices of what packages may need, the most popular first. */
  const ranked: number[] = [];
  const pick = (): number => {
    const power = 1 - popularity;
    const rank = (1 - random() * (1 - (ranked.length + 1) ** power)) ** (1 / power);
    return ranked[Math.min(Math.floor(rank), ranked.length) - 1] ?? 0;
  };
  const towerEvery = Math.ceil((derivations - bootstrap) / (tower + 1));
  /** Derivations in the longest chain down from each, itself included. */
  const depths: number[] = [];
  let source: number | undefined;
  let top = bootstrap - 1;
  for (let index = 0; index < derivations; index++) {
    const inputs = new Set<number>();
    const isFirst = index < bootstrap;
    const add = (input: number): void => {
      if ((depths[input] ?? 0) < longestChain - 1) inputs.add(input);
    };
    const fixed = !isFirst && source === undefined && random() < fixedShare / (1 - fixedShare);
    if (isFirst) {
      if (index > 0) inputs.add(index - 1);
    } else {
      // Some sources are fetched by Nix itself.
      if (!fixed || random() < 0.89) inputs.add(bootstrap - 1);
      let wanted = fixed ? 3 + Math.floor(2 * random()) : Math.round(6.5 * Math.exp(0.5 * normal()));
      if (index === Math.floor(derivations / 2)) wanted = 70;
      if (!fixed && source !== undefined) add(source);
      if (!fixed && index >= top + towerEvery) {
        if ((depths[top] ?? 0) < longestChain) inputs.add(top);
        top = index;
      }
      for (let tries = 0; inputs.size < Math.min(wanted, 70) && tries < 4 * wanted; tries++) {
        add(pick());
      }
    }
    depths.push(1 + Math.max(0, ...[...inputs].map((input) => depths[input] ?? 0)));
    if (fixed) source = index;
    else {
      source = undefined;
      if (index >= bootstrap - 1) ranked.push(index);
    }
    const size = Math.round(Math.min(60_000, medianSize * Math.exp(0.485 * normal())));
    nodes.push({
      name: `${fixed ? "source" : "package"}-${index}-1.${index % 17}`,
      inputs: [...inputs],
      fixed,
      size,
    });
  }
  return nodes;
}

function pathOf(name: string): StorePath {
  const hash = printHash(hashBytes("sha256", Buffer.from(name)), "nix32", false);
  return `${hash.slice(0, 32)}-${name}` as StorePath;
}

/** The files of a set, inputs first, one after the other. */
export function* derivationFiles(nodes: readonly PackageNode[]): Generator<DerivationFile> {
  const paths = nodes.map((node) => pathOf(`${node.name}.drv`));
  const needed = new Set(nodes.flatMap(({ inputs }) => inputs));
  for (const [index, node] of nodes.entries()) {
    const padding = node.size - bareSize - sizePerInput * node.inputs.length;
    const derivation = derivationOf(node, (input) => paths[input] ?? pathOf("none.drv"), padding);
    yield {
      path: paths[index] ?? pathOf("none.drv"),
      contents: byteStringToBytes(printDerivation(defaultStoreDir, derivation)),
      isJob: !needed.has(index),
    };
  }
}

const attributes =
  "buildInputs configureFlags depsBuildBuild depsHostHost doCheck doInstallCheck enableParallelBuilding mesonFlags patches propagatedBuildInputs strictDeps".split(
    " ",
  );

function derivationOf(
  node: PackageNode,
  pathOfInput: (index: number) => StorePath,
  padding: number,
): Derivation {
  const { name, inputs, fixed } = node;
  const outputs = new Map<string, DerivationOutput>();
  if (fixed) {
    const hash = hashBytes("sha256", Buffer.from(name));
    outputs.set("out", { kind: "caFixed", ca: { method: "nixArchive", hash } });
  } else {
    const names = hashBytes("sha256", Buffer.from(name)).digest[0] ?? 0;
    for (const output of names < 40 ? ["dev", "man", "out"] : ["out"]) {
      outputs.set(output, {
        kind: "inputAddressed",
        path: pathOf(output === "out" ? name : `${name}-${output}`),
      });
    }
  }
  const derivation: Derivation = {
    name,
    outputs,
    inputSources: [pathOf("default-builder.sh"), pathOf("source-stdenv.sh")].sort(),
    inputDerivations: new Map(
      inputs.map((input) => [pathOfInput(input), { outputs: ["out"], dynamic: new Map() }]),
    ),
    system: text("x86_64-linux"),
    builder: text(printStorePath(defaultStoreDir, pathOf("bash-5.2/bin/bash"))),
    args: [text("-e"), text(printStorePath(defaultStoreDir, pathOf("default-builder.sh")))],
    env: new Map(),
  };
  const env = new Map(attributes.map((attribute) => [text(attribute), text("")]));
  for (const output of outputs.keys()) {
    const path = derivationOutputPath(defaultStoreDir, derivation, output);
    env.set(text(output), text(path === undefined ? "" : printStorePath(defaultStoreDir, path)));
  }
  env.set(text("name"), text(name));
  env.set(text("system"), text("x86_64-linux"));
  if (fixed) env.set(text("preferLocalBuild"), text("1"));
  const line = 'runHook preBuild\nmake "$@" -j $NIX_BUILD_CORES\n';
  // Escapes make the text longer than the words are.
  if (padding > 0) env.set(text("buildPhase"), text(line.repeat(Math.ceil(padding / (line.length + 4)))));
  return { ...derivation, env: new Map([...env].sort(([a], [b]) => (a < b ? -1 : 1))) };
}
