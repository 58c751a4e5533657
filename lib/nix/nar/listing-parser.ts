/** Reads the JSON text of listings (`<hash>.ls`), in the forms of all Nix versions. */
import { NixFormatError } from "../errors.js";
import { compareUtf8, type NarListing } from "./listing.js";

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function fault(what: string, path: string): NixFormatError {
  return new NixFormatError("nar", `NAR listing: ${what} at '${path.slice(0, 300)}'`);
}

function count(value: unknown, what: string, path: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw fault(`${what} is not a size`, path);
  }
  return value;
}

function readRegular(node: Readonly<Record<string, unknown>>, path: string): NarListing {
  const size = count(node.size, "'size'", path);
  const executable = node.executable ?? false;
  if (typeof executable !== "boolean") throw fault("'executable' is not true or false", path);
  // Nix writes no offset, or 0, when it does not know it.
  const narOffset = count(node.narOffset ?? 0, "'narOffset'", path);
  return { type: "regular", size, executable, ...(narOffset > 0 ? { narOffset } : {}) };
}

/**
 * The tree that a listing describes, entries in byte order. Trees of any depth are read, without recursion.
 * @throws NixFormatError saying which entry is wrong
 */
export function parseListing(text: string): NarListing {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new NixFormatError("nar", "NAR listing: not JSON", { cause });
  }
  if (!isObject(json) || json.version !== 1) throw fault("version 1 is expected", "");
  let result: NarListing | undefined;
  const pending: { node: unknown; path: string; place: (listing: NarListing) => void }[] = [
    {
      node: json.root,
      path: "",
      place: (listing) => {
        result = listing;
      },
    },
  ];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { node, path, place } = next;
    if (!isObject(node)) throw fault("an entry is not an object", path);
    if (node.type === "regular") place(readRegular(node, path));
    else if (node.type === "symlink") {
      const target = node.target;
      if (typeof target !== "string") throw fault("a symlink without target", path);
      place({ type: "symlink", target });
    } else if (node.type === "directory") {
      const children = node.entries;
      if (!isObject(children)) throw fault("a directory without entries", path);
      const entries = new Map<string, NarListing>();
      place({ type: "directory", entries });
      // All keys first, so that the order of entries does not depend on the order of the walk below.
      const placeholder: NarListing = { type: "directory", entries: new Map() };
      for (const name of Object.keys(children).sort(compareUtf8)) {
        if (name === "" || name === "." || name === ".." || /[/\0]/.test(name)) {
          throw fault(`'${name.slice(0, 100)}' cannot be a file name`, path);
        }
        entries.set(name, placeholder);
        pending.push({
          node: children[name],
          path: path === "" ? name : `${path}/${name}`,
          place: (listing) => void entries.set(name, listing),
        });
      }
    } else throw fault("an entry of unknown type", path);
  }
  if (result === undefined) throw fault("no root", "");
  return result;
}
