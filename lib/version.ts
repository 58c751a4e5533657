/** Version of this package, as `package.json` states it. */
import { readFileSync } from "node:fs";

function readVersion(): string {
  // The same file from the sources and, one and two folders deeper, from the compiled library and the programs.
  for (const path of ["../package.json", "../../package.json", "../../../package.json"]) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8")) as {
        readonly name?: string;
        readonly version?: string;
      };
      if (name === "hydra-runner" && version !== undefined) return version;
    } catch {
      // Not there; the other one is.
    }
  }
  return "unknown";
}

/** The version in `package.json`; `unknown` when that file is not where the package has it. */
export const packageVersion: string = readVersion();
