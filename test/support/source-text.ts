// The project's own source text, for checks that something written in one place is used in another.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** The code of all TypeScript files below the folders (or of the files named), comments removed. */
export function codeOf(...places: readonly string[]): string {
  return places.flatMap(filesOf).map(codeOfFile).join("\n");
}

function filesOf(place: string): string[] {
  if (place.endsWith(".ts")) return [place];
  return readdirSync(join(root, place), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length))
    .filter((path) => !path.startsWith("lib/rpc/gen/"));
}

function codeOfFile(path: string): string {
  return readFileSync(join(root, path), "utf8").replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
}
