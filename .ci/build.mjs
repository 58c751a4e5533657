// `npm run build`: compiles, then deletes from `dist/` what no longer has a source, so that it is never packed.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

const { status } = spawnSync("npx", ["tsc", "-p", "tsconfig.json"], { cwd: root, stdio: "inherit" });

const dist = join(root, "dist");
for (const part of ["lib", "bin", "examples", "bench"]) {
  for (const entry of readdirSync(join(dist, part), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const source = join(root, relative(dist, path)).replace(/(?:\.d\.ts|\.js)$/, ".ts");
    if (source.endsWith(".map") || !existsSync(source)) rmSync(path);
  }
}
process.exit(status ?? 1);
