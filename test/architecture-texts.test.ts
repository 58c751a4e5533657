/** Words, docstrings and documents: they are there, and say what is so. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { codeOf } from "./support/source-text.js";

const root = fileURLToPath(new URL("..", import.meta.url));

describe("documents", () => {
  it("name files that exist", () => {
    const pages = [
      "README.md",
      "CONTRIBUTING.md",
      ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`),
    ];
    const named = pages
      .filter((page) => page.endsWith(".md"))
      .flatMap((page) =>
        [
          ...readFileSync(join(root, page), "utf8").matchAll(/`((?:[\w.-]+\/)+[\w.-]+\.(?:ts|tsx|mjs))`/g),
        ].map(([, path = ""]) => ({ page, path })),
      );
    expect(named.length).toBeGreaterThan(50);
    const wrong = named.filter(
      ({ path }) => !["", "lib", "test", ".ci"].some((folder) => existsSync(join(root, folder, path))),
    );
    expect(wrong).toEqual([]);
  });

  it("quote lines of the journal as they are", () => {
    const code = codeOf("lib", "bin");
    const text = readFileSync(join(root, "docs/troubleshooting.md"), "utf8");
    const quoted = [
      ...text.matchAll(/`((?:problem|steps?|machine|uploads?|settings|builds?|unusable) [^`]*)`/g),
    ];
    const lines = quoted.map(([, line = ""]) => line.split(/ (?:…|\w+=)/)[0] ?? "");
    expect(lines.length).toBeGreaterThan(10);
    expect(lines.filter((line) => !code.includes(`"${line}`))).toEqual([]);
  });
});

/** What a check of `.ci` complains about; it prints nothing when all is well. */
function complaintsOf(check: string): { readonly stderr: string; readonly status: number | null } {
  const { stderr, status } = spawnSync("node", [`.ci/${check}`], { cwd: root, encoding: "utf8" });
  return { stderr, status };
}

describe("texts", () => {
  it("of exported declarations are there: each has a docstring", () => {
    expect(complaintsOf("check-docstrings.mjs")).toEqual({ stderr: "", status: 0 });
  });

  it("use the field's words", () => {
    expect(complaintsOf("check-words.mjs")).toEqual({ stderr: "", status: 0 });
  });
});
