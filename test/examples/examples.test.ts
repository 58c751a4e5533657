/** The small programs run as they stand and print what they promise; the README quotes the first one to the letter. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { runnerEventNames } from "../../lib/runner/events/event-names.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const read = (path: string): Promise<string> => readFile(join(root, path), "utf8");
/** `npm run test:tarball` has them compiled as a user does. */
const programs = process.env.HYDRA_RUNNER_EXAMPLES ?? join(root, "dist/examples");
async function run(name: string, ...args: string[]): Promise<string> {
  const program = join(programs, `${name}.js`);
  return (await promisify(execFile)(process.execPath, [program, ...args])).stdout;
}

const expected: Readonly<Record<string, RegExp>> = {
  "embed-scheduler": /app\.drv goes to fast\nbuild 1 is done\n$/,
  "own-order":
    /^minute 0: zlib\.drv on fast, gmp\.drv on slow\nminute 1: (png\.drv on fast, gcc\.drv on slow|gcc\.drv on fast, png\.drv on slow)\n$/,
  "log-adapters":
    /^info joined \{ machine: 'mac-1' \}\n\{[\s\S]*severityText: 'WARN',[\s\S]*until: '14:05'[\s\S]*\}\n$/,
  "simulate-farm":
    /^ {2}zlib on fast\n[\s\S]*\ndocs: status 1 after 5 s\n[\s\S]*\ngit: status 0 after 23 s\nall done after \d{3} s, [1-9] tries came to nothing\n$/,
  "every-event": /^bad joined with 1$[\s\S]*^docs has status 1 false$[\s\S]*^app has status 0 false$/m,
  "sign-narinfo": /^StorePath: [\s\S]*\nas it is: trusted\nwith another size: refused\n$/,
  "read-nar":
    /^d {10}\/\nx +21 \/?hello at byte 264\nl {10}\/?hi -> hello\n528 bytes, sha256:[0-9a-z]{52}\n$/,
};

/** Run by `test/integration/examples.test.ts`. */
const withNix = [
  "builder",
  "follow-queue",
  "own-farm",
  "replay-policy",
  "status-in-servers",
  "steer-runner",
  "upload-closure",
  "webhook-sink",
];

describe("examples", () => {
  it("are all listed here", async () => {
    const files = (await readdir(join(root, "examples"))).filter((name) => name.endsWith(".ts"));
    expect(files.toSorted()).toEqual(
      [...Object.keys(expected), ...withNix].map((name) => `${name}.ts`).toSorted(),
    );
  });

  it("are shorter than 40 lines: what would make them longer belongs into the library", async () => {
    // The one program that shows everything.
    const names = [...Object.keys(expected), ...withNix].filter((name) => name !== "own-farm");
    const long: string[] = [];
    for (const name of names) {
      const lines = (await read(`examples/${name}.ts`)).trimEnd().split("\n").length;
      if (lines >= 40) long.push(`${name}: ${lines}`);
    }
    expect(long).toEqual([]);
  });

  it.each(Object.entries(expected))("%s runs", async (name, output) => {
    expect(await run(name)).toMatch(output);
  });

  it("read-nar reads any folder", async () => {
    const folder = await mkdtemp(join(tmpdir(), "example-"));
    await mkdir(join(folder, "sub"));
    await writeFile(join(folder, "sub", "file"), "text");
    expect(await run("read-nar", folder)).toMatch(/d {10}\/?sub\n- +4 \/?sub\/file at byte \d+\n/);
    await rm(folder, { recursive: true });
  });
});

describe("README.md", () => {
  it("quotes builder.ts", async () => {
    const blocks = [...(await read("README.md")).matchAll(/^```ts\n([\s\S]*?)^```$/gm)];
    expect(blocks.map(([, code]) => code)).toEqual([await read("examples/builder.ts")]);
  });

  it("lists every example", async () => {
    const readme = await read("README.md");
    const names = [...Object.keys(expected), ...withNix];
    expect(names.filter((name) => !readme.includes(`(examples/${name}.ts)`))).toEqual([]);
  });

  it.each([
    "README.md",
    "docs/architecture.md",
    "docs/library.md",
    "docs/operations.md",
    "docs/differences.md",
    "docs/configuration.md",
    "CONTRIBUTING.md",
  ])("%s links to files that exist", async (path) => {
    // `method[name](argument)` in code looks like a link.
    const prose = (await read(path)).replaceAll(/^```[\s\S]*?^```$/gm, "");
    const links = [...prose.matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)].map((match) => match[1] ?? "");
    for (const link of links)
      await expect(readFile(join(root, path, "..", link)), link).resolves.toBeDefined();
  });
});

describe("docs/library.md", () => {
  it("has only code that is an example, to the letter", async () => {
    const text = await read("docs/library.md");
    const quoted = [...text.matchAll(/^\[examples\/([\w-]+)\.ts\]\(.*\):\n\n```ts\n([\s\S]*?)^```$/gm)];
    expect(quoted.length).toBeGreaterThan(7);
    expect(text.match(/^```ts$/gm)).toHaveLength(quoted.length);
    for (const [, name = "", code] of quoted) expect(code, name).toBe(await read(`examples/${name}.ts`));
  });
});

describe("the events of docs/library.md", () => {
  it("are all there are, and every-event listens to each", async () => {
    const table = [...(await read("docs/library.md")).matchAll(/^\| `(\w+)` \| .* \| .* \|$/gm)];
    expect(table.map(([, name = ""]) => name).toSorted()).toEqual(runnerEventNames.toSorted());
    const listened = [...(await read("examples/every-event.ts")).matchAll(/farm\.on\("(\w+)"/g)];
    expect(listened.map(([, name = ""]) => name).toSorted()).toEqual(runnerEventNames.toSorted());
  });
});

describe.each(["CONTRIBUTING.md", "docs/architecture.md"])("%s", (document) => {
  it("names files that exist", async () => {
    const names = [...(await read(document)).matchAll(/`((?:[\w.-]+\/)+[\w-]+(?:\.\w+)+)`/g)].map(
      ([, name = ""]) => name,
    );
    expect(names.length).toBeGreaterThan(10);
    const exists = (name: string): boolean =>
      existsSync(join(root, name)) || existsSync(join(root, "lib", name));
    expect(names.filter((name) => !exists(name))).toEqual([]);
  });
});

describe("docs/differences.md", () => {
  it("has five cells in each row and numbers every table without a gap", async () => {
    const rows = (await read("docs/differences.md"))
      .split("\n")
      .filter((line) => /^\| [A-Z]\d+ \|/.test(line));
    expect(rows.length).toBeGreaterThan(100);
    const next = new Map<string, number>();
    for (const row of rows) {
      const cells = row.slice(1, -1).split(" | ");
      expect(cells, row).toHaveLength(5);
      for (const cell of cells) expect(cell.trim(), row).not.toBe("");
      const [, table = "", number] = /^ ([A-Z])(\d+)/.exec(cells[0] ?? "") ?? [];
      expect(Number(number), row).toBe((next.get(table) ?? 0) + 1);
      next.set(table, Number(number));
    }
  });
});
