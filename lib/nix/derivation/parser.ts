/** Reads the ATerm text of a derivation. Strict: what it accepts is written back byte for byte. */

import { aText, checkArgument, someBytes } from "../../argument-checks.js";
import { NixFormatError } from "../errors.js";
import { type ByteString, byteStringToText, bytesToByteString } from "../path/byte-string.js";
import { makeFixedOutputPath, outputPathName, parseMethodAlgorithm } from "../path/content-address.js";
import { parseHash } from "../path/hash.js";
import {
  compareStorePaths,
  isStorePath,
  parseFullStorePath,
  printStorePath,
  type StoreDir,
  type StorePath,
  storePathName,
  storePathNameFault,
} from "../path/store-path.js";
import type { Derivation, DerivationOutput, DerivedInput } from "./derivation.js";

/** Derivations of derivations of …; deeper texts are refused rather than followed. */
const deepest = 64;

const escapes: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", '"': '"', "\\": "\\" };

class Cursor {
  readonly #text: string;
  /** No character is in it that a string must escape, so that strings need not be looked through for them. */
  readonly #isClean: boolean;
  /** The first backslash at or after the last place where one was looked for. */
  #backslash = -1;
  position = 0;

  constructor(text: ByteString) {
    this.#text = text;
    this.#isClean = !(text.includes("\n") || text.includes("\r") || text.includes("\t"));
  }

  fault(what: string, position = this.position): NixFormatError {
    return new NixFormatError("derivation", `derivation is malformed: ${what}`, { position });
  }

  /** Takes `token`, which is not empty, if it is next. */
  accept(token: string): boolean {
    if (this.#text.charCodeAt(this.position) !== token.charCodeAt(0)) return false;
    if (token.length > 1 && !this.#text.startsWith(token, this.position)) return false;
    this.position += token.length;
    return true;
  }

  expect(token: string): void {
    if (!this.accept(token)) throw this.fault(`expected '${token}'`);
  }

  string(): ByteString {
    if (this.#text.charCodeAt(this.position) !== 0x22) throw this.fault("expected '\"'");
    this.position++;
    return (this.#isClean ? this.#cleanString() : this.#stringByCharacter()) as ByteString;
  }

  #cleanString(): string {
    const text = this.#text;
    const quote = this.#find('"', this.position);
    let result = "";
    let from = this.position;
    for (let end = quote; ; ) {
      if (this.#backslash < from) this.#backslash = this.#find("\\", from);
      const backslash = this.#backslash;
      if (end < backslash) {
        this.position = end + 1;
        return result + text.slice(from, end);
      }
      this.position = backslash;
      if (backslash === text.length) throw this.fault("unterminated string");
      const escaped = escapes[text.charAt(backslash + 1)];
      if (escaped === undefined) throw this.fault("unknown escape");
      result += text.slice(from, backslash) + escaped;
      from = backslash + 2;
      if (end < from) end = this.#find('"', from);
    }
  }

  /** Where `letter` is next; the length of the text when it is not. */
  #find(letter: string, from: number): number {
    const found = this.#text.indexOf(letter, from);
    return found < 0 ? this.#text.length : found;
  }

  #stringByCharacter(): string {
    let result = "";
    let from = this.position;
    for (;;) {
      const code = this.#text.charCodeAt(this.position);
      if (Number.isNaN(code)) throw this.fault("unterminated string");
      if (code === 0x22) {
        result += this.#text.slice(from, this.position);
        this.position++;
        return result;
      }
      if (code === 0x5c) {
        const escaped = escapes[this.#text.charAt(this.position + 1)];
        if (escaped === undefined) throw this.fault("unknown escape");
        result += this.#text.slice(from, this.position) + escaped;
        this.position += 2;
        from = this.position;
      } else {
        if (code === 0x0a || code === 0x0d || code === 0x09)
          throw this.fault("control character must be escaped");
        this.position++;
      }
    }
  }

  list<T>(item: () => T): T[] {
    this.expect("[");
    const items: T[] = [];
    if (this.accept("]")) return items;
    do items.push(item());
    while (this.accept(","));
    this.expect("]");
    return items;
  }

  /** As `list`, for items that go elsewhere: returns their number. */
  each(item: () => void): number {
    this.expect("[");
    if (this.accept("]")) return 0;
    let count = 0;
    do {
      item();
      count++;
    } while (this.accept(","));
    this.expect("]");
    return count;
  }

  end(): void {
    if (this.position !== this.#text.length) throw this.fault("text after the end");
  }
}

/** Runs `read`; a fault of what a text means is reported with where the text stands. */
function at<T>(start: number, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof NixFormatError)) throw cause;
    const message = `derivation is malformed: ${cause.message}`;
    throw new NixFormatError("derivation", message, { position: start, cause });
  }
}

function storePath(cursor: Cursor, dir: StoreDir): StorePath {
  const start = cursor.position;
  return storePathAt(start, dir, cursor.string());
}

function storePathAt(start: number, dir: StoreDir, text: string): StorePath {
  // The usual case without what a fault needs.
  if (text.startsWith(dir) && text.charAt(dir.length) === "/") {
    const baseName = text.slice(dir.length + 1);
    if (isStorePath(baseName)) return baseName;
  }
  return at(start, () => parseFullStorePath(dir, text));
}

/** An output by a method or algorithm that is not known here. */
function foreignOutput(
  cursor: Cursor,
  dir: StoreDir,
  expectedName: string,
  fields: { readonly path: string; readonly method: string; readonly hash: string },
  start: number,
): DerivationOutput {
  const { path: text, method, hash } = fields;
  if (hash === "" || hash === "impure") {
    if (text !== "") throw cursor.fault("an output without known contents cannot have a path", start);
    return { kind: "foreign", path: undefined, method, hash };
  }
  if (!/^[A-Za-z0-9+/=-]{1,1000}$/.test(hash))
    throw cursor.fault("the hash of an output is malformed", start);
  const path = at(start, () => parseFullStorePath(dir, text));
  if (storePathName(path) !== expectedName) {
    throw cursor.fault(`the path of an output should be named ${expectedName}`, start);
  }
  return { kind: "foreign", path, method, hash };
}

function parseOutput(
  cursor: Cursor,
  dir: StoreDir,
  drvName: string,
): [name: string, output: DerivationOutput] {
  cursor.expect("(");
  const start = cursor.position;
  const name = byteStringToText(cursor.string());
  const fault = storePathNameFault(name);
  if (fault !== undefined) throw cursor.fault(`bad output name: ${fault}`, start);
  cursor.expect(",");
  const path = cursor.string();
  cursor.expect(",");
  const algorithm = cursor.string();
  cursor.expect(",");
  const hash = cursor.string();
  cursor.expect(")");
  if (algorithm === "") {
    if (hash !== "") throw cursor.fault("an output has a hash but no hash algorithm", start);
    if (path === "") return [name, { kind: "deferred" }];
    return [name, { kind: "inputAddressed", path: storePathAt(start, dir, path) }];
  }
  const method = parseMethodAlgorithm(algorithm);
  if (method === undefined) throw cursor.fault(`malformed hash algorithm '${algorithm.slice(0, 40)}'`, start);
  const pathName = outputPathName(drvName, name);
  if (method === "foreign") {
    return [name, foreignOutput(cursor, dir, pathName, { path, method: algorithm, hash }, start)];
  }
  if (method.method === "text" && method.algorithm !== "sha256") {
    throw cursor.fault("text is hashed with SHA-256", start);
  }
  if (hash === "impure" || hash === "") {
    if (path !== "") throw cursor.fault("an output without known contents cannot have a path", start);
    return [name, { kind: hash === "" ? "caFloating" : "impure", ...method }];
  }
  if (!/^[0-9a-f]+$/.test(hash)) throw cursor.fault("the hash of an output must be lower-case hex", start);
  const ca = { method: method.method, hash: at(start, () => parseHash(hash, method.algorithm)) };
  const computed = at(start, () => makeFixedOutputPath(dir, pathName, ca));
  const expected = printStorePath(dir, computed);
  if (path !== expected) throw cursor.fault(`path of fixed output '${name}' should be ${expected}`, start);
  return [name, { kind: "caFixed", ca }];
}

/** An input whose outputs that are derivations are being read. */
interface OpenInput {
  readonly outputs: readonly string[];
  readonly dynamic: [name: string, input: DerivedInput][];
  /** Output that the input being read belongs to. */
  name: string;
}

const noDynamic: DerivedInput["dynamic"] = new Map();

/** Reads an input with a stack of its own: nesting is up to the author of the text. */
function parseInput(cursor: Cursor, versioned: boolean): DerivedInput {
  const names = (): string[] => cursor.list(() => byteStringToText(cursor.string()));
  const entryName = (): string => {
    cursor.expect("(");
    const name = byteStringToText(cursor.string());
    cursor.expect(",");
    return name;
  };
  const open: OpenInput[] = [];
  for (;;) {
    let input: DerivedInput;
    if (versioned && cursor.accept("(")) {
      if (open.length >= deepest) throw cursor.fault(`dynamic inputs are nested deeper than ${deepest}`);
      const outputs = names();
      cursor.expect(",");
      cursor.expect("[");
      if (!cursor.accept("]")) {
        open.push({ outputs, dynamic: [], name: entryName() });
        continue;
      }
      cursor.expect(")");
      input = { outputs, dynamic: noDynamic };
    } else {
      input = { outputs: names(), dynamic: noDynamic };
    }
    // It is complete, and perhaps its parents are.
    for (let parent = open.at(-1); ; parent = open.at(-1)) {
      if (parent === undefined) return input;
      parent.dynamic.push([parent.name, input]);
      cursor.expect(")");
      if (cursor.accept(",")) {
        parent.name = entryName();
        break;
      }
      cursor.expect("]");
      cursor.expect(")");
      open.pop();
      input = { outputs: parent.outputs, dynamic: unique(cursor, "dynamic output", parent.dynamic) };
    }
  }
}

function unique<K, V>(cursor: Cursor, what: string, entries: readonly (readonly [K, V])[]): Map<K, V> {
  const map = new Map(entries);
  if (map.size !== entries.length) throw cursor.fault(`duplicate ${what}`);
  return map;
}

/**
 * Parses the text of a `.drv` file.
 *
 * @param name name of the derivation, without `.drv`
 * @throws NixFormatError with the position of the fault
 */
export function parseDerivation(dir: StoreDir, name: string, text: Uint8Array | ByteString): Derivation {
  checkArgument("parseDerivation", "dir", dir, aText);
  checkArgument("parseDerivation", "name", name, aText);
  if (typeof text !== "string") checkArgument("parseDerivation", "text", text, someBytes);
  const cursor = new Cursor(typeof text === "string" ? text : bytesToByteString(text));
  let versioned = false;
  if (cursor.accept("DrvWithVersion(")) {
    const version = cursor.string();
    if (version !== "xp-dyn-drv") throw cursor.fault(`unknown version '${version.slice(0, 40)}'`);
    cursor.expect(",");
    versioned = true;
  } else {
    cursor.expect("Derive(");
  }
  const outputs = cursor.list(() => parseOutput(cursor, dir, name));
  if (outputs.length === 0) throw cursor.fault("a derivation needs an output");
  cursor.expect(",");
  const inputDerivations = new Map<StorePath, DerivedInput>();
  const inputs = cursor.each(() => {
    cursor.expect("(");
    const path = storePath(cursor, dir);
    cursor.expect(",");
    inputDerivations.set(path, parseInput(cursor, versioned));
    cursor.expect(")");
  });
  cursor.expect(",");
  const inputSources = cursor.list(() => storePath(cursor, dir)).sort(compareStorePaths);
  cursor.expect(",");
  const system = cursor.string();
  cursor.expect(",");
  const builder = cursor.string();
  cursor.expect(",");
  const args = cursor.list(() => cursor.string());
  cursor.expect(",");
  const env = new Map<ByteString, ByteString>();
  const variables = cursor.each(() => {
    cursor.expect("(");
    const key = cursor.string();
    cursor.expect(",");
    env.set(key, cursor.string());
    cursor.expect(")");
  });
  cursor.expect(")");
  cursor.end();
  const uniqueOutputs = unique(cursor, "output", outputs);
  if (inputDerivations.size !== inputs) throw cursor.fault("duplicate input derivation");
  if (env.size !== variables) throw cursor.fault("duplicate environment variable");
  return {
    name,
    outputs: uniqueOutputs,
    inputDerivations,
    inputSources,
    system,
    builder,
    args,
    env,
  };
}
