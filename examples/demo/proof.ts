/** Proves the cache with the real Nix: a fourth, empty store substitutes from it and trusts only our key. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import type { Farm } from "./farm.js";
import { configureStore } from "./nix-store.js";
import type { BuildRow } from "./report.js";

const run = promisify(execFile);

export interface ProofOptions {
  readonly folder: string;
  readonly sockets: string;
  readonly say: (line: string) => void;
}

/** Problems found, as sentences; empty when the cache is correct. */
export async function proveCache(
  farm: Farm,
  rows: readonly BuildRow[],
  options: ProofOptions,
): Promise<string[]> {
  const { root, env } = await configureStore({
    directory: options.folder,
    socketDirectory: options.sockets,
    name: "client",
    busybox: farm.busybox,
    systemFeatures: [],
  });
  const problems: string[] = [];
  const paths = rows.flatMap((row) => row.outputs);
  for (const row of rows) {
    if (row.cacheUrl === "") continue;
    const file = row.cacheUrl.slice("file://".length);
    for (let tries = 0; !existsSync(file) && tries < 100; tries++) await sleep(100);
    if (!existsSync(file)) problems.push(`${row.name} is not in the cache`);
  }
  if (problems.length > 0) return problems;
  try {
    await run(
      "nix-store",
      [
        ...["--store", root, "--realise", ...paths],
        ...["--option", "substituters", `file://${farm.cacheFolder}`],
        ...["--option", "trusted-public-keys", farm.publicKey],
        ...["--option", "require-sigs", "true", "--option", "max-jobs", "0"],
      ],
      { env, maxBuffer: 1 << 24 },
    );
    await run(
      "nix",
      ["store", "verify", "--store", root, ...paths, "--option", "trusted-public-keys", farm.publicKey],
      {
        env,
        maxBuffer: 1 << 24,
      },
    );
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return [`the real Nix refused the cache: ${text}`];
  }
  options.say(`${paths.length} outputs substituted into an empty store; all signatures and contents verify`);
  return [];
}
