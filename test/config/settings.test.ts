/** Every key of both files: its default, what it accepts, what it refuses, and how it says so. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Setting, SettingTable } from "../../lib/config/index.js";
import {
  builderSettings,
  loadBuilderConfig,
  loadQueueRunnerConfig,
  queueRunnerSettings,
} from "../../lib/config/index.js";
import { UsageError } from "../../lib/errors.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "config-"));
});
afterAll(() => rm(folder, { recursive: true }));

const env = { LOGNAME: "hydra" };
let files = 0;
async function write(text: string | Uint8Array): Promise<string> {
  const path = join(folder, `${++files}.toml`);
  await writeFile(path, text);
  return path;
}

const programs = [
  ["queue-runner", queueRunnerSettings as SettingTable, loadQueueRunnerConfig],
  ["builder", builderSettings as SettingTable, loadBuilderConfig],
] as const;
type Load = (typeof programs)[number][2];

async function load(loader: Load, text: string | Uint8Array): Promise<Record<string, unknown>> {
  return (await loader({ path: await write(text), env })).config as unknown as Record<string, unknown>;
}
/** The one line a fault is told in. */
async function fault(loader: Load, text: string | Uint8Array): Promise<string> {
  const error: unknown = await load(loader, text).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(UsageError);
  expect((error as UsageError).code).toBe("config");
  expect((error as UsageError).message).not.toContain("\n");
  return (error as UsageError).message;
}

/** TOML of a value that the setting accepts, other than its default where that is possible. */
function acceptable(setting: Setting): string {
  switch (setting.kind) {
    case "integer":
    case "number":
      return String(Math.min(setting.max, Math.max(setting.min, 3)));
    case "boolean":
      return String(!setting.default);
    case "choice":
      return JSON.stringify(setting.choices.find((choice) => choice !== setting.default));
    case "secret":
      return '"postgres://u:p@h/d"';
    case "text":
    case "path":
      return '"some-text"';
    case "list":
    case "paths":
      return '["/one"]';
    case "table":
      break;
  }
  return '{ store = "s3://bucket", jobsets = ["p:j"] }';
}

const samples: Readonly<Record<string, string>> = {
  string: '"text"',
  integer: "1",
  float: "1.5",
  boolean: "true",
  date: "2026-11-24",
  list: "[1]",
  table: "{ a = 1 }",
};
const accepted: Readonly<Record<Setting["kind"], readonly string[]>> = {
  integer: ["integer"],
  number: ["integer", "float"],
  boolean: ["boolean"],
  choice: ["string"],
  text: ["string"],
  path: ["string"],
  secret: ["string"],
  list: ["list"],
  paths: ["list"],
  table: ["table"],
};

describe.each(programs)("%s", (_name, settings, loader) => {
  const keys = Object.entries(settings);
  /** Keys whose value leads to other files or to other keys. */
  const special = new Set([
    "tokenPaths",
    "statusTokenPath",
    "dbUrl",
    "usePresignedUploads",
    "acceptedPeerVersions",
    "rootsDir",
    "frontendUrl",
  ]);

  it("an empty file means the defaults", async () => {
    const config = await load(loader, "");
    for (const [key, setting] of keys) {
      if (!special.has(key)) expect(config[key], key).toEqual(setting.default);
    }
  });

  it.each(keys.filter(([key]) => !special.has(key)))("takes %s from the file", async (key, setting) => {
    const text = acceptable(setting);
    const config = await load(loader, `${key} = ${text}`);
    if (setting.kind !== "table") expect(config[key]).toEqual(JSON.parse(text));
    else expect(config[key]).toEqual({ store: "s3://bucket", jobsets: ["p:j"] });
  });

  it.each(keys)("refuses a %s of a wrong type, and says which is right", async (key, setting) => {
    for (const [kind, sample] of Object.entries(samples)) {
      if (accepted[setting.kind].includes(kind)) continue;
      const message = await fault(loader, `${key} = ${sample}`);
      expect(message).toMatch(new RegExp(`\\.toml: key '${key}' must be .+, not an? `));
    }
  });

  it.each(keys.filter(([, setting]) => setting.kind === "integer" || setting.kind === "number"))(
    "keeps %s within its range",
    async (key, setting) => {
      if (setting.kind !== "integer" && setting.kind !== "number") return;
      for (const end of [setting.min, setting.max]) {
        expect((await load(loader, `${key} = ${BigInt(end)}`))[key]).toBe(end);
      }
      if (setting.kind === "number") {
        for (const odd of ["nan", "inf", "-inf"])
          expect(await fault(loader, `${key} = ${odd}`)).toContain("must be between");
      }
      const beyond = setting.max < Number.MAX_SAFE_INTEGER ? [setting.max + 1] : [];
      if (setting.min > -Number.MAX_SAFE_INTEGER) beyond.push(setting.min - 1);
      for (const value of beyond) {
        expect(await fault(loader, `${key} = ${value}`)).toContain(
          `key '${key}' is ${value}; it must be between`,
        );
      }
    },
  );

  it("shows a number that is too large as it was written", async () => {
    const [key] = keys.find(([, setting]) => setting.kind === "integer") ?? [""];
    for (const written of ["9007199254740993", "-9007199254740993", "9223372036854775807"]) {
      expect(await fault(loader, `${key} = ${written}`)).toContain(`key '${key}' is ${written};`);
    }
  });

  it.each(keys.filter(([, setting]) => setting.kind === "choice"))(
    "takes only the names of %s, to the letter",
    async (key, setting) => {
      if (setting.kind !== "choice") return;
      for (const choice of setting.choices)
        expect((await load(loader, `${key} = "${choice}"`))[key]).toBe(choice);
      const first = setting.choices[0] ?? "";
      expect(await fault(loader, `${key} = "${first.toLowerCase()}"`)).toContain(`did you mean '${first}'?`);
      expect(await fault(loader, `${key} = "Quantum"`)).toContain(setting.choices.join(", "));
    },
  );

  it.each(keys)("suggests %s for its other spellings", async (key) => {
    const snake = key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    for (const other of new Set([
      snake,
      snake.replaceAll("_", "-"),
      key.toLowerCase(),
      `${key}s`,
      key.slice(0, -1),
    ])) {
      if (Object.hasOwn(settings, other)) continue;
      const message = await fault(loader, `"${other}" = 1`);
      expect(message).toContain(`unknown key '${other}'; did you mean '${key}'?`);
    }
  });

  it("does not guess at keys that are like none", async () => {
    expect(await fault(loader, "colour = 1")).toMatch(/unknown key 'colour'; remove it$/);
    expect(await fault(loader, "__proto__ = 1")).toContain("unknown key '__proto__'");
  });

  it("says where a file stops being TOML", async () => {
    expect(await fault(loader, "maxJobs = 1\nmaxJobs == 2")).toMatch(/line 2, column \d+: not TOML/);
    expect(await fault(loader, "a = 1\na = 2")).toMatch(/line 2, column \d+: not TOML/);
    expect(await fault(loader, Uint8Array.of(0x61, 0xff))).toContain("not UTF-8");
  });

  it("never fails in another way, whatever the file holds", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "grapheme" }), async (text) => {
        const path = await write(text);
        await loader({ path, env }).catch((error: unknown) => {
          expect(error).toBeInstanceOf(UsageError);
          expect((error as UsageError).message.startsWith(`${path}: `)).toBe(true);
        });
      }),
      { numRuns: 100 },
    );
  });

  describe("a file that cannot be read", () => {
    it("is an error when it was asked for", async () => {
      await expect(loader({ path: join(folder, "none.toml"), env })).rejects.toThrow(
        /does not exist; check --config-path/,
      );
      await expect(loader({ path: folder, env })).rejects.toThrow(/cannot be read \(EISDIR\)/);
      await expect(loader({ path: folder, explicit: false, env })).rejects.toThrow(/cannot be read/);
    });

    it("means the defaults, with a warning, when nobody asked for it", async () => {
      const path = join(folder, "none.toml");
      const loaded = await loader({ path, explicit: false, env });
      expect(loaded.path).toBeUndefined();
      expect(loaded.warnings).toEqual([`${path} does not exist: all settings have their defaults`]);
    });
  });
});
