/**
 * Which packages and rooms each entrance loads when it is imported: one list for each, so that a heavy dependency
 * that slips into a light entrance is seen by its name.
 */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { packagesOf } from "../support/loaded-packages.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Prints the URLs of all scripts that were loaded, whether as modules or by `require`. */
const probe = `
  const { Session } = await import("node:inspector");
  const session = new Session();
  session.connect();
  const urls = [];
  session.on("Debugger.scriptParsed", ({ params }) => urls.push(params.url));
  session.post("Debugger.enable");
  urls.length = 0;
  await import(process.argv[1]);
  session.disconnect();
  console.log(JSON.stringify(urls));
`;

interface Loaded {
  /** Files of this package, each of which costs about a millisecond. */
  readonly ownFiles: number;
  /** Files of other packages. */
  readonly foreignFiles: number;
  readonly packages: readonly string[];
  readonly rooms: readonly string[];
}

async function load(entrance: string): Promise<Loaded> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--input-type=module", "--eval", probe, entrance],
    { cwd: root, maxBuffer: 1 << 24 },
  );
  const urls = JSON.parse(stdout) as string[];
  const named = (pattern: RegExp): string[] => [
    ...new Set(urls.flatMap((url) => pattern.exec(url)?.[1] ?? [])),
  ];
  return {
    ownFiles: urls.filter((url) => url.includes("/dist/lib/")).length,
    foreignFiles: urls.filter((url) => url.includes("/node_modules/")).length,
    packages: packagesOf(urls),
    rooms: named(/\/dist\/lib\/([^/]+)\//).sort(),
  };
}

/** The packages that each entrance may load. */
const packages: Readonly<Record<string, readonly string[]>> = {
  ".": [],
  "./nix": [],
  "./scheduler": [],
  "./database": ["drizzle-orm"],
  "./database/drizzle": ["drizzle-orm", "pg"],
  "./binary-cache": [],
  "./compression": [],
  "./rpc": [],
  "./runner": [],
  "./builder": [],
  "./process": [],
  "./status": [],
  "./config": [],
  "./tracing": [],
  "./testing": [],
};

/** The rooms that the light entrances may load. */
const rooms: Readonly<Record<string, readonly string[]>> = {
  "./nix": ["async", "nix"],
  "./scheduler": ["scheduler"],
  "./database": ["async", "database"],
  "./binary-cache": ["async", "binary-cache", "compression", "nix"],
  "./compression": ["async", "compression"],
  "./process": ["async", "process"],
  "./status": ["async", "nix", "status"],
  "./config": ["config"],
  "./tracing": ["async", "config", "database", "nix", "tracing"],
  "./testing": ["nix", "scheduler", "testing"],
};

describe("importing an entrance", () => {
  it("is tested for all of them", async () => {
    const manifest = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { exports: object };
    expect(Object.keys(packages)).toEqual(Object.keys(manifest.exports));
  });

  it("takes few files for the root, and none of other packages", async () => {
    const { ownFiles, foreignFiles } = await load("hydra-runner");
    expect(ownFiles).toBeGreaterThan(100);
    expect(ownFiles).toBeLessThan(230);
    expect(foreignFiles).toBe(0);
  });

  it.each(Object.keys(packages))("%s loads only what belongs to it", async (entrance) => {
    const loaded = await load(entrance.replace(".", "hydra-runner"));
    const allowed = packages[entrance] ?? [];
    expect(loaded.packages.filter((name) => !allowed.includes(name))).toEqual([]);
    const near = rooms[entrance] ?? loaded.rooms;
    expect(loaded.rooms.filter((room) => !near.includes(room))).toEqual([]);
    expect(loaded.rooms).toContain(entrance === "." ? "runner" : entrance.split("/")[1]);
  });
});
