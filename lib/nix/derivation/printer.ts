/** Writes derivations as ATerm text. */
import { aFlag, aText, checkArgument, checkMembers, optional } from "../../argument-checks.js";
import { aMap, checkDerivation } from "../argument-rules.js";
import { type ByteString, byteStringFromText, byteStringToBytes } from "../path/byte-string.js";
import { makeTextPath, methodPrefix } from "../path/content-address.js";
import { hashBytes, printHash } from "../path/hash.js";
import { compareStorePaths, printStorePath, type StoreDir, type StorePath } from "../path/store-path.js";
import {
  type Derivation,
  type DerivationOutput,
  type DerivedInput,
  derivationOutputPath,
} from "./derivation.js";

const escapes: Readonly<Record<string, string>> = {
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  '"': '\\"',
  "\\": "\\\\",
};

function quote(text: ByteString): string {
  return `"${text.replace(/[\n\r\t"\\]/g, (letter) => escapes[letter] ?? letter)}"`;
}

const quoteText = (text: string): string => quote(byteStringFromText(text));
const byKey = <K extends string, V>([a]: readonly [K, V], [b]: readonly [K, V]): number =>
  a < b ? -1 : a > b ? 1 : 0;

/** The four strings that stand for an output; the path is empty when it is not known before the build. */
export function outputFields(
  output: DerivationOutput,
  path: string,
): readonly [path: string, hashAlgorithm: string, hash: string] {
  if (output.kind === "inputAddressed") return [path, "", ""];
  if (output.kind === "deferred") return ["", "", ""];
  if (output.kind === "caFixed") {
    const { method, hash } = output.ca;
    return [path, methodPrefix(method) + hash.algorithm, printHash(hash, "base16", false)];
  }
  if (output.kind === "foreign") return [path, output.method, output.hash];
  return ["", methodPrefix(output.method) + output.algorithm, output.kind === "impure" ? "impure" : ""];
}

function hasDynamic(inputs: Iterable<DerivedInput>): boolean {
  for (const input of inputs) if (input.dynamic.size > 0) return true;
  return false;
}

/** What is still to be printed is on a stack, last first: nesting is up to the author of the derivation. */
function printInput(root: DerivedInput): string {
  const pieces: string[] = [];
  const stack: (DerivedInput | string)[] = [root];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    if (typeof next === "string") {
      pieces.push(next);
      continue;
    }
    const outputs = `[${[...next.outputs].sort().map(quoteText).join(",")}]`;
    if (next.dynamic.size === 0) {
      pieces.push(outputs);
      continue;
    }
    pieces.push(`(${outputs},[`);
    stack.push("])");
    const dynamic = [...next.dynamic].sort(byKey).reverse();
    for (const [index, [name, child]] of dynamic.entries()) {
      const comma = index === dynamic.length - 1 ? "" : ",";
      stack.push(")", child, `${comma}(${quoteText(name)},`);
    }
  }
  return pieces.join("");
}

/** How a derivation is printed; by default as its file has it. */
export interface PrintOptions {
  /** Leave out the paths of outputs, also in the environment; the form that is hashed. */
  readonly maskOutputs?: boolean;
  /** Written in place of the input derivations: what stands for each, and the outputs used. */
  readonly inputs?: ReadonlyMap<string, DerivedInput>;
}

/** The text of the `.drv` file, outputs, inputs and environment in byte order. */
export function printDerivation(dir: StoreDir, drv: Derivation, options: PrintOptions = {}): ByteString {
  checkArgument("printDerivation", "dir", dir, aText);
  checkDerivation("printDerivation", "drv", drv);
  checkMembers("printDerivation", options, { maskOutputs: optional(aFlag), inputs: optional(aMap) });
  const mask = options.maskOutputs === true;
  const outputs = [...drv.outputs].sort(byKey).map(([name, output]) => {
    const path = derivationOutputPath(dir, drv, name);
    const printed = path === undefined || mask ? "" : printStorePath(dir, path);
    const fields = outputFields(output, printed).map((field) => quoteText(field));
    return `(${[quoteText(name), ...fields].join(",")})`;
  });
  const inputs =
    options.inputs ??
    new Map([...drv.inputDerivations].map(([path, input]) => [printStorePath(dir, path), input] as const));
  const inputTexts = [...inputs]
    .sort(byKey)
    .map(([key, input]) => `(${quoteText(key)},${printInput(input)})`);
  const sources = [...drv.inputSources].sort(compareStorePaths);
  const env = [...drv.env].sort(byKey).map(([key, value]) => {
    const masked = mask && drv.outputs.has(key) ? ("" as ByteString) : value;
    return `(${quote(key)},${quote(masked)})`;
  });
  const head = hasDynamic(inputs.values()) ? 'DrvWithVersion("xp-dyn-drv",' : "Derive(";
  const parts = [
    `[${outputs.join(",")}]`,
    `[${inputTexts.join(",")}]`,
    `[${sources.map((path) => quoteText(printStorePath(dir, path))).join(",")}]`,
    quote(drv.system),
    quote(drv.builder),
    `[${drv.args.map(quote).join(",")}]`,
    `[${env.join(",")}]`,
  ];
  return `${head}${parts.join(",")})` as ByteString;
}

/** Store path of the `.drv` file itself. */
export function computeDerivationPath(dir: StoreDir, drv: Derivation): StorePath {
  checkArgument("computeDerivationPath", "dir", dir, aText);
  checkDerivation("computeDerivationPath", "drv", drv);
  const text = byteStringToBytes(printDerivation(dir, drv));
  const references = [...drv.inputSources, ...drv.inputDerivations.keys()];
  return makeTextPath(dir, `${drv.name}.drv`, hashBytes("sha256", text), references);
}
