/**
 * `npm run manual`: writes what is made from command lines and tables of settings: manual pages, completion for shells,
 * and the options of the Nix modules. `--check` writes nothing and ends with 1 where a file is out of date.
 *
 * In this folder live the writers of those texts; none of it is part of the programs.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { builderSettings, queueRunnerSettings } from "../../lib/config/index.js";
import { builderCommand, builderTexts } from "../commands/hydra-builder.js";
import { queueRunnerCommand, queueRunnerTexts } from "../commands/queue-runner.js";
import { bashCompletion, fishCompletion, zshCompletion } from "./completion.js";
import { nixOptionsFile } from "./nix-options.js";
import { configPage, programPage } from "./roff.js";

const programs = [
  {
    command: queueRunnerCommand(),
    texts: queueRunnerTexts,
    settings: queueRunnerSettings,
    names: ["hydra-queue-runner", "queue-runner"],
    options: "queue-runner",
  },
  {
    command: builderCommand(),
    texts: builderTexts,
    settings: builderSettings,
    names: ["hydra-builder"],
    options: "builder",
  },
];

/** Content by path below the root of the project. */
const files = new Map<string, string>(
  programs.flatMap(({ command, texts, settings, names, options }) => {
    const name = command.name();
    return [
      [`ops/man/${name}.1`, programPage(command, texts)],
      [`ops/man/${texts.configPage}.5`, configPage(command, texts, settings)],
      [`ops/completion/${name}.bash`, bashCompletion(command, names)],
      [`ops/completion/_${name}`, zshCompletion(command, names)],
      [`ops/completion/${name}.fish`, fishCompletion(command, names)],
      [`nix/options/${options}.json`, nixOptionsFile(settings)],
    ];
  }),
);
files.set("ops/man/queue-runner.1", ".so man1/hydra-queue-runner.1\n");

function present(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

const root = fileURLToPath(new URL("../../..", import.meta.url));
const stale = [...files].filter(([path, text]) => present(join(root, path)) !== text);
if (process.argv.includes("--check")) {
  for (const [path] of stale) process.stderr.write(`${path} is out of date; run npm run manual\n`);
  process.exitCode = stale.length === 0 ? 0 : 1;
} else {
  for (const [path, text] of stale) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
    process.stdout.write(`${path}\n`);
  }
}
