/** `.narinfo` files of binary caches. */

import { anAmount, anObject, aText, checkArgument, checkMembers, optional } from "../../argument-checks.js";
import { NixFormatError } from "../errors.js";
import { parseContentAddress, printContentAddress } from "../path/content-address.js";
import { type Hash, parseHash, printHash } from "../path/hash.js";
import {
  compareStorePaths,
  parseFullStorePath,
  parseStorePath,
  printStorePath,
  type StoreDir,
} from "../path/store-path.js";
import type { ValidPathInfo } from "../store/path-info.js";

/** A path info with the place and the compression of its NAR in a binary cache. */
export interface NarInfo extends ValidPathInfo {
  /** Relative to the root of the cache. */
  readonly url: string;
  /** `none`, `xz`, `bzip2`, `br`, `zstd`, … */
  readonly compression: string;
  /** SHA-256 of the stored file. */
  readonly fileHash: Hash | undefined;
  /** Bytes of the stored file. */
  readonly fileSize: number | undefined;
}

/** What has to be known of a path for its narinfo; the rest is as in `NarInfo`. */
export type NarInfoDescription = Pick<NarInfo, "path" | "narHash" | "narSize" | "url"> & Partial<NarInfo>;

/** A narinfo. Default: not compressed, no references, no signatures, nothing known of its making. */
export function newNarInfo(description: NarInfoDescription): NarInfo {
  checkMembers("newNarInfo", description, {
    path: aText,
    narHash: anObject,
    narSize: anAmount,
    url: aText,
    compression: optional(aText),
  });
  return {
    deriver: undefined,
    references: [],
    registrationTime: 0,
    ultimate: false,
    signatures: [],
    ca: undefined,
    compression: "none",
    fileHash: undefined,
    fileSize: undefined,
    ...description,
  };
}

/** The text, one `Key: value` per line, signatures sorted. */
export function printNarInfo(dir: StoreDir, info: NarInfo): string {
  checkArgument("printNarInfo", "dir", dir, aText);
  checkArgument("printNarInfo", "info", info, anObject);
  const lines = [
    `StorePath: ${printStorePath(dir, info.path)}`,
    `URL: ${info.url}`,
    `Compression: ${info.compression}`,
    `FileHash: ${printHash(info.fileHash ?? info.narHash, "nix32")}`,
    `FileSize: ${info.fileSize ?? info.narSize}`,
    `NarHash: ${printHash(info.narHash, "nix32")}`,
    `NarSize: ${info.narSize}`,
  ];
  if (info.references.length > 0) {
    lines.push(`References: ${[...info.references].sort(compareStorePaths).join(" ")}`);
  }
  if (info.deriver !== undefined) lines.push(`Deriver: ${info.deriver}`);
  for (const signature of [...info.signatures].sort()) lines.push(`Sig: ${signature}`);
  if (info.ca !== undefined) lines.push(`CA: ${printContentAddress(info.ca)}`);
  return `${lines.join("\n")}\n`;
}

function parseSize(text: string, key: string, line: number): number {
  const size = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(size)) {
    throw new NixFormatError("narinfo", `narinfo: ${key} '${text.slice(0, 40)}' is not a size`, {
      position: line,
    });
  }
  return size;
}

/** @throws NixFormatError with the line number */
export function parseNarInfo(dir: StoreDir, text: string): NarInfo {
  checkArgument("parseNarInfo", "dir", dir, aText);
  checkArgument("parseNarInfo", "text", text, aText);
  const fields = new Map<string, { readonly value: string; readonly line: number }>();
  const signatures: string[] = [];
  const once = new Set(["StorePath", "References", "CA"]);
  text.split("\n").forEach((line, index) => {
    if (line === "") return;
    const separator = line.indexOf(": ");
    if (separator < 1) {
      throw new NixFormatError("narinfo", "narinfo: a line is not 'Key: value'", { position: index + 1 });
    }
    const key = line.slice(0, separator);
    const value = line.slice(separator + 2);
    if (key === "Sig") signatures.push(value);
    else if (once.has(key) && fields.has(key)) {
      throw new NixFormatError("narinfo", `narinfo: ${key} is given twice`, { position: index + 1 });
    } else fields.set(key, { value, line: index + 1 });
  });
  const required = (key: string): { readonly value: string; readonly line: number } => {
    const field = fields.get(key);
    if (field === undefined || field.value === "")
      throw new NixFormatError("narinfo", `narinfo: ${key} is missing`);
    return field;
  };
  const narSize = parseSize(required("NarSize").value, "NarSize", required("NarSize").line);
  if (narSize === 0) {
    throw new NixFormatError("narinfo", "narinfo: NarSize must not be 0", {
      position: required("NarSize").line,
    });
  }
  const references = (fields.get("References")?.value ?? "").split(" ").filter((word) => word !== "");
  const deriver = fields.get("Deriver")?.value;
  const fileHash = fields.get("FileHash");
  const fileSize = fields.get("FileSize");
  const ca = fields.get("CA")?.value;
  return {
    path: parseFullStorePath(dir, required("StorePath").value),
    url: required("URL").value,
    // Nix takes a missing line as bzip2; nothing that is alive writes such files, so say what Nix says.
    compression: fields.get("Compression")?.value ?? "bzip2",
    fileHash: fileHash === undefined ? undefined : parseHash(fileHash.value),
    fileSize: fileSize === undefined ? undefined : parseSize(fileSize.value, "FileSize", fileSize.line),
    narHash: parseHash(required("NarHash").value, "sha256"),
    narSize,
    references: references.map(parseStorePath).sort(compareStorePaths),
    deriver:
      deriver === undefined || deriver === "" || deriver === "unknown-deriver"
        ? undefined
        : parseStorePath(deriver),
    registrationTime: 0,
    ultimate: false,
    signatures,
    ca: ca === undefined || ca === "" ? undefined : parseContentAddress(ca),
  };
}
