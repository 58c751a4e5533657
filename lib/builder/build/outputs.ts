/** What a build has made: its outputs, their closures, and what is reported of them. */
import { type BasicDerivation, derivationOutputPath } from "../../nix/derivation/derivation.js";
import { printStorePath, type StoreDir, type StorePath } from "../../nix/path/store-path.js";
import type { ValidPathInfo } from "../../nix/store/path-info.js";
import type { BuildResult, CancelOptions, Store } from "../../nix/store/store.js";
import { type DroppedLine, readNixSupport } from "../../nix-support/index.js";
import type { BuiltOutput } from "../../rpc/types.js";
import { BuildFailure } from "./failure.js";

/** Full paths of the outputs that are known before the build, by name. */
export function knownOutputs(storeDir: StoreDir, derivation: BasicDerivation): Map<string, string> {
  const paths = new Map<string, string>();
  for (const name of derivation.outputs.keys()) {
    const path = derivationOutputPath(storeDir, derivation, name);
    if (path !== undefined) paths.set(name, printStorePath(storeDir, path));
  }
  return paths;
}

/** The daemon's answer, completed by what the derivation itself says (old daemons leave it out). */
export function outputPaths(
  storeDir: StoreDir,
  derivation: BasicDerivation,
  result: BuildResult,
): Map<string, StorePath> {
  const paths = new Map<string, StorePath>();
  for (const name of [...derivation.outputs.keys()].sort()) {
    const path = result.builtOutputs.get(name) ?? derivationOutputPath(storeDir, derivation, name);
    if (path !== undefined) paths.set(name, path);
  }
  return paths;
}

/** What a build has made, as the store knows it. */
export interface MadeOutputs {
  /** By name. */
  readonly outputs: ReadonlyMap<string, ValidPathInfo>;
  /** Of all outputs, references first. */
  readonly closure: readonly ValidPathInfo[];
}

/** All outputs and their closure. @throws BuildFailure `postProcessingFailure` when one is missing */
export async function queryOutputs(
  store: Store,
  derivation: BasicDerivation,
  paths: ReadonlyMap<string, StorePath>,
  options: CancelOptions,
): Promise<MadeOutputs> {
  const closure = await store.closure([...new Set(paths.values())], options);
  const infos = new Map(closure.map((info) => [info.path, info]));
  const outputs = new Map<string, ValidPathInfo>();
  for (const name of [...derivation.outputs.keys()].sort()) {
    const path = paths.get(name);
    if (path === undefined) {
      throw new BuildFailure("postProcessingFailure", `the daemon did not say where output '${name}' is`);
    }
    const info = infos.get(path);
    if (info === undefined) {
      throw new BuildFailure(
        "postProcessingFailure",
        `output '${name}' (${path}) is not valid after the build`,
      );
    }
    outputs.set(name, info);
  }
  return { outputs, closure };
}

/** Compares each output with `limit`, in bytes; 0 means unlimited. @throws BuildFailure `narSizeLimit` */
export function checkOutputSizes(outputs: ReadonlyMap<string, ValidPathInfo>, limit: number): void {
  if (limit <= 0) return;
  for (const [name, { path, narSize }] of outputs) {
    if (narSize <= limit) continue;
    throw new BuildFailure(
      "narSizeLimit",
      `output '${name}' (${path}) has ${narSize} bytes, more than the ${limit} allowed`,
    );
  }
}

/** Sum of the NAR sizes of what is reachable from `root`; paths that `infos` does not know count nothing. */
function closureSize(root: StorePath, infos: ReadonlyMap<StorePath, ValidPathInfo>): number {
  const seen = new Set<StorePath>([root]);
  let size = 0;
  // A set grows while it is walked, and the walk sees what is added.
  for (const path of seen) {
    const info = infos.get(path);
    if (info === undefined) continue;
    size += info.narSize;
    for (const reference of info.references) seen.add(reference);
  }
  return size;
}

/** Outputs as they are reported, and what of their `nix-support` files did not count. */
export interface DescribedOutputs {
  readonly outputs: ReadonlyMap<string, BuiltOutput>;
  readonly dropped: readonly DroppedLine[];
}

/** Describes the outputs for the report. */
export async function describeOutputs(
  store: Store,
  { outputs, closure }: MadeOutputs,
  signal: AbortSignal,
): Promise<DescribedOutputs> {
  const infos = new Map(closure.map((info) => [info.path, info]));
  const described = new Map<string, BuiltOutput>();
  const allDropped: DroppedLine[] = [];
  for (const [name, info] of outputs) {
    const { dropped, ...nixSupport } = await readNixSupport(store, name, info.path, signal);
    allDropped.push(...dropped);
    described.set(name, {
      path: info.path,
      narSize: info.narSize,
      closureSize: closureSize(info.path, infos),
      narHash: info.narHash,
      nixSupport,
    });
  }
  return { outputs: described, dropped: allDropped };
}
