/** Store paths: `<32 base-32 digits>-<name>`, below a store folder. */
import { aText, checkArgument } from "../../argument-checks.js";
import type { Brand } from "../../brand.js";
import { NixFormatError } from "../errors.js";

/** Base name of a store path; never with the folder. */
export type StorePath = Brand<string, "StorePath">;
/** Folder of a store as its paths name it, e.g. `/nix/store`; no trailing slash. */
export type StoreDir = Brand<string, "StoreDir">;

/** Where stores are unless configured otherwise. */
export const defaultStoreDir = "/nix/store" as StoreDir;

const hashPart = /^[0-9a-df-np-sv-z]{32}$/;
const namePart = /^[A-Za-z0-9+\-._?=]{1,211}$/;
/** Both at once, with what `storePathNameFault` forbids. */
const wholePath = /^[0-9a-df-np-sv-z]{32}-(?!\.\.?(?:-|$))[A-Za-z0-9+\-._?=]{1,211}$/;

/** @throws NixFormatError when the text is not an absolute path in its shortest form */
export function parseStoreDir(text: string): StoreDir {
  checkArgument("parseStoreDir", "text", text, aText);
  if (!/^\/([^/\0]+(\/[^/\0]+)*)$/.test(text)) {
    throw new NixFormatError(
      "store-path",
      `store folder '${text}' must be an absolute path without trailing slash`,
    );
  }
  return text as StoreDir;
}

/** Why a name cannot be the name of a store path, or undefined when it can. */
export function storePathNameFault(name: string): string | undefined {
  checkArgument("storePathNameFault", "name", name, aText);
  if (!namePart.test(name)) return "names have 1 to 211 of the characters A-Z a-z 0-9 + - . _ ? =";
  if (name === "." || name === ".." || name.startsWith(".-") || name.startsWith("..-")) {
    return "names must not be '.' or '..' or begin with '.-' or '..-'";
  }
  return undefined;
}

/** @throws NixFormatError when `baseName` is not `<hash>-<name>` */
export function parseStorePath(baseName: string): StorePath {
  checkArgument("parseStorePath", "baseName", baseName, aText);
  const fault = (what: string, position?: number): NixFormatError =>
    new NixFormatError("store-path", `'${baseName.slice(0, 260)}' is not a store path: ${what}`, {
      position,
    });
  if (baseName.includes("/")) throw fault("a base name has no slash", baseName.indexOf("/"));
  if (!hashPart.test(baseName.slice(0, 32))) throw fault("it must begin with 32 base-32 digits", 0);
  if (baseName.charAt(32) !== "-") throw fault("a dash must follow the hash", 32);
  const nameFault = storePathNameFault(baseName.slice(33));
  if (nameFault !== undefined) throw fault(nameFault, 33);
  return baseName as StorePath;
}

/** `/nix/store/x` to `x`. @throws NixFormatError when the path is not directly below `dir` */
export function parseFullStorePath(dir: StoreDir, text: string): StorePath {
  checkArgument("parseFullStorePath", "text", text, aText);
  if (!text.startsWith(`${dir}/`)) {
    throw new NixFormatError("store-path", `'${text.slice(0, 300)}' is not a path in the store ${dir}`);
  }
  return parseStorePath(text.slice(dir.length + 1));
}

/** Base name or full path. @throws NixFormatError */
export function parseAnyStorePath(dir: StoreDir, text: string): StorePath {
  checkArgument("parseAnyStorePath", "text", text, aText);
  return text.startsWith("/") ? parseFullStorePath(dir, text) : parseStorePath(text);
}

/** Whether a text is the base name of a store path. */
export function isStorePath(baseName: string): baseName is StorePath {
  return typeof baseName === "string" && wholePath.test(baseName);
}

/** The full path. */
export function printStorePath(dir: StoreDir, path: StorePath): string {
  checkArgument("printStorePath", "dir", dir, aText);
  checkArgument("printStorePath", "path", path, aText);
  return `${dir}/${path}`;
}

/** The 32 digits in front. */
export function storePathHashPart(path: StorePath): string {
  checkArgument("storePathHashPart", "path", path, aText);
  return path.slice(0, 32);
}

/** What follows the hash and the dash. */
export function storePathName(path: StorePath): string {
  checkArgument("storePathName", "path", path, aText);
  return path.slice(33);
}

/** The name of what a derivation builds: that of its path without `.drv`. */
export function derivationName(drv: StorePath): string {
  return storePathName(drv).replace(/\.drv$/, "");
}

/** Whether a path is that of a derivation, by its name. */
export function isDerivationPath(path: StorePath): boolean {
  checkArgument("isDerivationPath", "path", path, aText);
  return path.endsWith(".drv");
}

/** Bytewise, the order of references everywhere. */
export function compareStorePaths(a: StorePath, b: StorePath): number {
  checkArgument("compareStorePaths", "a", a, aText);
  checkArgument("compareStorePaths", "b", b, aText);
  return a < b ? -1 : a > b ? 1 : 0;
}
