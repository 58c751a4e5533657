// Regenerates the wire code into a temporary folder and compares it with what is checked in.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { environment, root } from "./tools.mjs";

const folder = mkdtempSync(join(tmpdir(), "check-generated-"));

/** Every file below a folder by its relative path. */
function files(base) {
  const found = new Map();
  for (const entry of readdirSync(base, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    found.set(path.slice(base.length + 1), readFileSync(path, "utf8"));
  }
  return found;
}

function check() {
  const { status } = spawnSync("buf", ["generate", "--output", folder], {
    cwd: root,
    env: environment,
    stdio: "inherit",
  });
  if (status !== 0) return "buf generate failed";
  const fresh = files(join(folder, "lib", "rpc", "gen"));
  const present = files(join(root, "lib", "rpc", "gen"));
  const stale = [...new Set([...fresh.keys(), ...present.keys()])].filter(
    (name) => fresh.get(name) !== present.get(name),
  );
  if (fresh.size === 0) return "buf generate wrote nothing";
  return stale.length === 0 ? undefined : `stale in lib/rpc/gen: ${stale.join(", ")}; run npm run generate`;
}

let problem;
try {
  problem = check();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (problem !== undefined) {
  process.stderr.write(`generated code: ${problem}\n`);
  process.exit(1);
}
