/** The file of `--print-default-config`: it means the defaults as it stands, and each value in it is the default. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import {
  builderSettings,
  defaultConfigFile,
  loadBuilderConfig,
  loadQueueRunnerConfig,
  queueRunnerSettings,
} from "../../lib/config/index.js";

const folder = mkdtempSync(join(tmpdir(), "default-file-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const programs = [
  { name: "queue runner", settings: queueRunnerSettings, load: loadQueueRunnerConfig },
  { name: "builder", settings: builderSettings, load: loadBuilderConfig },
] as const;

/** Puts every key that has a value into force. */
function uncommented(file: string): string {
  return file.replaceAll(/^#(\w+ = )/gm, "$1");
}

it.each(programs)("of the $name means the defaults", async ({ settings, load }) => {
  const text = defaultConfigFile(settings);
  const env = { LOGNAME: "someone" };
  const write = (name: string, content: string): string => {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  };
  const defaults = await load({ path: write("empty.toml", ""), env });
  const asItStands = await load({ path: write("printed.toml", text), env });
  expect(asItStands.config).toEqual(defaults.config);
  expect(uncommented(text)).not.toBe(text);
  const inForce = await load({ path: write("uncommented.toml", uncommented(text)), env });
  expect(inForce.config).toEqual(defaults.config);
});

it.each(programs)("of the $name names every key once", ({ settings }) => {
  const lines = defaultConfigFile(settings).split("\n");
  for (const [key, { kind }] of Object.entries(settings)) {
    const start = kind === "table" ? `#[${key}]` : `#${key} =`;
    expect(
      lines.filter((line) => line.startsWith(start)),
      key,
    ).toHaveLength(1);
  }
});
