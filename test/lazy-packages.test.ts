/**
 * Heavy packages are loaded at their first use: importing an entrance must not load them, and what they print must not
 * appear on our standard error.
 */
import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type S3Server, startS3Server } from "./support/s3-server/index.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const run = promisify(execFile);

/** What the file imports when it is loaded: neither types nor `import()`. */
function staticImports(path: string): string[] {
  const text = readFileSync(path, "utf8").replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
  const statements = text.matchAll(
    /^(?:import|export)\s+(?!type\b)(?:([^;"']*?)\s*from\s*)?["']([^"']+)["']/gm,
  );
  return [...statements].flatMap(([, names, target = ""]) => {
    const inner = /^\{([\s\S]*)\}$/.exec(names?.trim() ?? "")?.[1];
    const parts = inner?.split(",").filter((part) => part.trim() !== "") ?? [];
    return parts.length > 0 && parts.every((part) => part.trim().startsWith("type ")) ? [] : [target];
  });
}

/** Names of the packages that are loaded with `entrance`, each with the files that lead to it. */
function packagesOf(entrance: string): Map<string, string> {
  const found = new Map<string, string>();
  const seen = new Set<string>();
  const visit = (path: string, trail: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    const here = `${trail} → ${relative(root, path)}`;
    for (const target of staticImports(path)) {
      if (target.startsWith(".")) visit(join(dirname(path), target.replace(/\.js$/, ".ts")), here);
      else if (!target.startsWith("node:")) found.set(target, here);
    }
  };
  visit(join(root, entrance), "");
  return found;
}

const entrances = [
  "lib/index.ts",
  ...readdirSync(join(root, "lib"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => `lib/${entry.name}/index.ts`),
  "bin/queue-runner.ts",
  "bin/hydra-builder.ts",
];

describe("heavy packages", () => {
  it("are found by this test", () => {
    expect(packagesOf("lib/rpc/index.ts").keys()).toContain("@bufbuild/protobuf");
    expect(staticImports(join(root, "lib/binary-cache/objects/s3-connection.ts"))).toEqual([]);
  });

  it.each(entrances)("are not loaded by %s", (entrance) => {
    const heavy = [...packagesOf(entrance)].filter(([name]) =>
      /^(@aws-sdk\/|fzstd$|@toondepauw\/)/.test(name),
    );
    expect(heavy).toEqual([]);
  });
});

describe("a program that opens a bucket", () => {
  let server: S3Server;
  beforeAll(async () => {
    server = await startS3Server();
  });
  afterAll(() => server.close());

  it("prints nothing, and leaves its environment as it was", async () => {
    const entrance = pathToFileURL(join(root, "dist/lib/binary-cache/index.js")).href;
    const uri = server.uri("cache", {});
    const program = `
      import { openBinaryCache } from ${JSON.stringify(entrance)};
      const before = JSON.stringify(process.env);
      const cache = await openBinaryCache(${JSON.stringify(uri)}, { credentials: ${JSON.stringify(server.keys)} });
      const found = await cache.objects.head("nix-cache-info");
      cache.close();
      if (found === undefined || JSON.stringify(process.env) !== before) process.exit(1);`;
    const { stdout, stderr } = await run(process.execPath, ["--input-type=module", "-e", program], {
      env: {},
    });
    expect(stdout + stderr).toBe("");
  });
});
