/** Manual pages and completion: complete, and accepted by the programs that read them. */
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { builderCommand, builderTexts } from "../../bin/commands/hydra-builder.js";
import { queueRunnerCommand, queueRunnerTexts } from "../../bin/commands/queue-runner.js";
import { bashCompletion, fishCompletion, zshCompletion } from "../../bin/manual/completion.js";
import { configPage, programPage } from "../../bin/manual/roff.js";
import { builderSettings, queueRunnerSettings } from "../../lib/config/index.js";

const programs = [
  { command: queueRunnerCommand(), texts: queueRunnerTexts, settings: queueRunnerSettings },
  { command: builderCommand(), texts: builderTexts, settings: builderSettings },
].map((one) => ({ ...one, name: one.command.name() }));

const has = (program: string): boolean => spawnSync("which", [program]).status === 0;

/** The text that a terminal shows, and what the formatter complains about. */
function formatted(page: string): { readonly text: string; readonly complaints: string } {
  const { stdout, stderr } = spawnSync("groff", ["-man", "-Kutf8", "-Tutf8", "-ww", "-P-cbou", "-"], {
    input: page,
    encoding: "utf8",
  });
  return { text: stdout.replaceAll(/[‐−-]/g, "-"), complaints: stderr };
}

describe.each(programs)("$name", ({ command, texts, settings, name }) => {
  it.skipIf(!has("groff"))(
    "has manual pages that format without complaint and name every option and key",
    () => {
      const program = formatted(programPage(command, texts));
      expect(program.complaints).toBe("");
      for (const { long } of command.options) expect(program.text).toContain(long);
      for (const [code] of texts.exitCodes) expect(program.text).toMatch(new RegExp(`^ +${code}\\b`, "m"));
      const config = formatted(configPage(command, texts, settings));
      expect(config.complaints).toBe("");
      for (const key of Object.keys(settings))
        expect(config.text).toMatch(new RegExp(`^ +${key}(?: |$)`, "m"));
    },
  );

  it("completes its options in bash", () => {
    const complete = (...words: string[]): string[] => {
      const script = `${bashCompletion(command, [name])}
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _${name.replaceAll("-", "_")}; printf '%s\\n' "\${COMPREPLY[@]}"`;
      return execFileSync("bash", ["-c", script, "bash", ...words], { encoding: "utf8" })
        .split("\n")
        .filter((word) => word !== "");
    };
    expect(complete(name, "--check")).toEqual(["--check-config"]);
    expect(complete(name, "--").length).toBeGreaterThanOrEqual(command.options.length);
    expect(complete(name, "--config-path", "package.j")).toEqual(["package.json"]);
  });

  it("names every option for zsh and fish", () => {
    const zsh = zshCompletion(command, [name]);
    const fish = fishCompletion(command, [name]);
    for (const { long } of command.options) {
      expect(zsh).toContain(long);
      expect(fish).toContain(` -l ${long?.slice(2)} `);
    }
  });

  it.skipIf(!has("zsh"))("completion is syntax that zsh reads", () => {
    const { status, stderr } = spawnSync("zsh", ["-n"], {
      input: zshCompletion(command, [name]),
      encoding: "utf8",
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  });

  it.skipIf(!has("fish"))("completion is syntax that fish reads", () => {
    // Node gives a socket for standard input, which fish cannot open by name.
    const { status } = spawnSync("sh", ["-c", "cat | fish -n"], {
      input: fishCompletion(command, [name]),
      encoding: "utf8",
    });
    expect(status).toBe(0);
  });
});

it("every page that package.json names is there", () => {
  const root = new URL("../..", import.meta.url);
  const { man } = JSON.parse(readFileSync(new URL("package.json", root), "utf8")) as {
    readonly man: string[];
  };
  for (const page of man) expect(readFileSync(fileURLToPath(new URL(page, root)), "utf8")).not.toBe("");
});
