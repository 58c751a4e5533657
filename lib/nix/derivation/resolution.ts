/** Resolution: input derivations become the store paths of their outputs, placeholders become those paths. */

import { createHash } from "node:crypto";
import { aFunction, aText, checkArgument, someTexts } from "../../argument-checks.js";
import { checkDerivation } from "../argument-rules.js";
import { type ByteString, byteStringFromText } from "../path/byte-string.js";
import { outputPathName } from "../path/content-address.js";
import { encodeNix32 } from "../path/nix32.js";
import {
  compareStorePaths,
  derivationName,
  printStorePath,
  type StoreDir,
  type StorePath,
} from "../path/store-path.js";
import type { BasicDerivation, Derivation, DerivedInput } from "./derivation.js";

const sha256 = (text: string): Uint8Array => createHash("sha256").update(text, "latin1").digest();

/** What a build script sees in place of an output path of its own derivation that is not known yet. */
export function outputPlaceholder(output: string): string {
  checkArgument("outputPlaceholder", "output", output, aText);
  return `/${encodeNix32(sha256(`nix-output:${output}`))}`;
}

function compress(hash: Uint8Array): Uint8Array {
  const folded = new Uint8Array(20);
  hash.forEach((byte, index) => {
    folded[index % 20] = (folded[index % 20] ?? 0) ^ byte;
  });
  return folded;
}

function upstreamHash(drv: StorePath, output: string): Uint8Array {
  const name = derivationName(drv);
  return sha256(`nix-upstream-output:${drv.slice(0, 32)}:${outputPathName(name, output)}`);
}

function computedHash(parent: Uint8Array, output: string): Uint8Array {
  return sha256(`nix-computed-output:${encodeNix32(compress(parent))}:${output}`);
}

/** What a derivation has in place of an input's output path that is not known yet; more names follow dynamic inputs. */
export function downstreamPlaceholder(drv: StorePath, outputs: readonly [string, ...string[]]): string {
  checkArgument("downstreamPlaceholder", "drv", drv, aText);
  checkArgument("downstreamPlaceholder", "outputs", outputs, someTexts);
  const [first, ...rest] = outputs;
  let hash = upstreamHash(drv, first);
  for (const output of rest) hash = computedHash(hash, output);
  return `/${encodeNix32(hash)}`;
}

/** One output that a derivation needs: of `drv`, or (several names) of a derivation that is an output of `drv`. */
export interface OutputReference {
  readonly drv: StorePath;
  readonly outputs: readonly string[];
}

/** All outputs a derivation needs of its input derivations. */
export function inputReferences(derivation: Derivation): OutputReference[] {
  checkDerivation("inputReferences", "derivation", derivation, ["inputDerivations"]);
  const references: OutputReference[] = [];
  for (const [drv, input] of derivation.inputDerivations) {
    const pending: { node: DerivedInput; prefix: readonly string[] }[] = [{ node: input, prefix: [] }];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      for (const output of next.node.outputs) references.push({ drv, outputs: [...next.prefix, output] });
      for (const [output, node] of next.node.dynamic)
        pending.push({ node, prefix: [...next.prefix, output] });
    }
  }
  return references;
}

/** All placeholders look alike. `/` is not a base-32 digit, so one pass without overlaps finds every one. */
const anyPlaceholder = /\/[0-9a-df-np-sv-z]{52}/g;

/** The resolved derivation, or the outputs whose paths are not known yet. */
export type ResolutionResult =
  | { readonly ok: true; readonly basic: BasicDerivation }
  | { readonly ok: false; readonly missing: readonly OutputReference[] };

/** `lookup` tells where an output is, or undefined when that is not known. */
export function resolveDerivation(
  dir: StoreDir,
  derivation: Derivation,
  lookup: (drv: StorePath, outputs: readonly string[]) => StorePath | undefined,
): ResolutionResult {
  checkArgument("resolveDerivation", "dir", dir, aText);
  checkDerivation("resolveDerivation", "derivation", derivation);
  checkArgument("resolveDerivation", "lookup", lookup, aFunction);
  const rewrites = new Map<string, string>();
  const sources = new Set(derivation.inputSources);
  const missing: OutputReference[] = [];
  for (const reference of inputReferences(derivation)) {
    const path = lookup(reference.drv, reference.outputs);
    const [first, ...rest] = reference.outputs;
    if (path === undefined || first === undefined) {
      missing.push(reference);
      continue;
    }
    sources.add(path);
    rewrites.set(
      downstreamPlaceholder(reference.drv, [first, ...rest]),
      byteStringFromText(printStorePath(dir, path)),
    );
  }
  if (missing.length > 0) return { ok: false, missing };
  const rewrite = (text: ByteString): ByteString =>
    text.replace(anyPlaceholder, (found) => rewrites.get(found) ?? found) as ByteString;
  return {
    ok: true,
    basic: {
      name: derivation.name,
      outputs: derivation.outputs,
      inputSources: [...sources].sort(compareStorePaths),
      system: derivation.system,
      builder: rewrite(derivation.builder),
      args: derivation.args.map(rewrite),
      env: new Map([...derivation.env].map(([key, value]) => [rewrite(key), rewrite(value)])),
    },
  };
}
