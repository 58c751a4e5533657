/** The two programs are made of what everyone can import, and are short. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const text = (path: string): string => readFileSync(join(root, path), "utf8");

interface Package {
  readonly exports: Readonly<Record<string, { readonly default: string } | string>>;
  readonly dependencies: Readonly<Record<string, string>>;
}
const { exports, dependencies } = JSON.parse(text("package.json")) as Package;
const entrances = new Set(
  Object.values(exports).map((entry) =>
    (typeof entry === "string" ? entry : entry.default).replace(/^\.\/dist\//, "").replace(/\.js$/, ".ts"),
  ),
);

function importsOf(path: string): string[] {
  const found = text(path).matchAll(/\b(?:from|import)\s*\(?\s*["']([^"']+)["']/g);
  return [...found].map(([, target = ""]) =>
    target.startsWith(".") ? normalize(join(dirname(path), target)).replace(/\.js$/, ".ts") : target,
  );
}

/** A program with the files of its own. */
function filesOf(program: string): string[] {
  const files = new Set([program]);
  for (const path of files) {
    for (const target of importsOf(path)) if (target.startsWith("bin/")) files.add(target);
  }
  return [...files];
}

it.each(["bin/queue-runner.ts", "bin/hydra-builder.ts"])("%s uses public entrances only", (program) => {
  const files = filesOf(program);
  expect(files.length).toBeGreaterThan(2);
  const others = files.flatMap((path) =>
    importsOf(path)
      .filter((target) => !target.startsWith("bin/") && !target.startsWith("node:"))
      .filter((target) => !entrances.has(target) && !(target in dependencies))
      .map((target) => `${path} → ${target}`),
  );
  expect(others).toEqual([]);
});

it("are short", () => {
  for (const program of ["queue-runner", "hydra-builder"]) {
    const parts = [`bin/${program}.ts`, `bin/main/${program}.ts`, `bin/run-${program}.ts`].map(text);
    expect(parts.join("").trimEnd().split("\n").length, program).toBeLessThan(120);
  }
});

it("have no file that neither of them, nor the manual, uses", () => {
  const used = new Set(
    ["bin/queue-runner.ts", "bin/hydra-builder.ts", "bin/manual/main.ts"].flatMap(filesOf),
  );
  const all = readdirSync(join(root, "bin"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
  expect(all.filter((path) => !used.has(path))).toEqual([]);
});
