/** Manual pages in roff (man(7) macros), made from a command line and a table of settings. */
import type { Command } from "commander";
import type { Setting, SettingTable } from "../../lib/config/index.js";
import type { Described, ProgramTexts } from "../commands/program-texts.js";

/** Text for roff: what it would take for a request or an escape is quoted; back quotes of Markdown become bold. */
function escaped(text: string): string {
  const plain = text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll("⁺", "+")
    .replaceAll("…", "\\[u2026]")
    .replaceAll("→", "\\(->");
  const bold = plain.replaceAll(/`([^`]*)`/g, "\\fB$1\\fR");
  return /^[.']/.test(bold) ? `\\&${bold}` : bold;
}

function header(name: string, section: number, title: string): string[] {
  return [
    '.\\" Made by npm run manual; changes here are lost.',
    `.TH "${name.toUpperCase().replaceAll("-", "\\-")}" "${section}" "" "hydra\\-runner" "${title}"`,
  ];
}

function section(title: string, body: readonly string[]): string[] {
  return body.length === 0 ? [] : [`.SH ${title}`, ...body];
}

function tagged(rows: readonly Described[]): string[] {
  return rows.flatMap(([name, meaning]) => [".TP", `.B ${escaped(name)}`, escaped(meaning)]);
}

/** Options with flags and description, `--help` and `--version` included, in the order of the help. */
function options(command: Command): Described[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .map((option) => {
      const shown: unknown = option.defaultValue;
      const preset = typeof shown === "string" ? ` (default: ${shown})` : "";
      return [option.flags, `${option.description}${preset}`];
    });
}

/** Page of a program, section 1. */
export function programPage(command: Command, texts: ProgramTexts): string {
  const name = command.name();
  return [
    ...header(name, 1, "Hydra"),
    ...section("NAME", [`${escaped(name)} \\- ${escaped(command.description())}`]),
    ...section("SYNOPSIS", [`.B ${escaped(name)}`, "[\\fIoptions\\fR]"]),
    ...section("DESCRIPTION", [
      `${escaped(command.description())} Settings are read from one TOML file, see`,
      `.BR ${escaped(texts.configPage)} (5).`,
    ]),
    ...section("OPTIONS", tagged(options(command))),
    ...section("ENVIRONMENT", tagged(texts.environment)),
    ...section("SIGNALS", tagged(texts.signals)),
    ...section("EXIT STATUS", tagged(texts.exitCodes)),
    ...section("FILES", tagged(texts.files)),
    ...section("SEE ALSO", [`.BR ${escaped(texts.configPage)} (5)`]),
    "",
  ].join("\n");
}

function typeOf(setting: Setting): string {
  switch (setting.kind) {
    case "integer":
    case "number":
      return `${setting.kind}, ${setting.unit}`;
    case "choice":
      return setting.choices.map((choice) => `"${choice}"`).join(", ");
    case "list":
    case "paths":
      return "list of strings";
    case "text":
    case "path":
    case "secret":
      return "string";
    case "boolean":
    case "table":
      return setting.kind;
  }
  return setting satisfies never;
}

function defaultOf(setting: Setting): string {
  return setting.defaultText ?? (setting.default === undefined ? "none" : JSON.stringify(setting.default));
}

const lives: Readonly<Record<Setting["live"], string>> = {
  yes: "A reload is enough.",
  partly: "A reload changes it in part.",
  no: "A change needs a restart.",
};

function settings(table: SettingTable, prefix = ""): string[] {
  return Object.entries(table).flatMap(([key, setting]) => {
    const special = "special" in setting && setting.special !== undefined ? ` (${setting.special})` : "";
    const own = setting.own === true ? " The Rust programs refuse a file with this key." : "";
    const own5 = [
      ".TP",
      `.B ${escaped(prefix + key)}`,
      escaped(`${typeOf(setting)}; default: ${defaultOf(setting)}.`),
      ".br",
      escaped(`${setting.meaning}${special} ${lives[setting.live]}${own}`),
    ];
    return setting.kind === "table" ? [...own5, ...settings(setting.members, `${key}.`)] : own5;
  });
}

/** Page of a configuration file, section 5. */
export function configPage(command: Command, texts: ProgramTexts, table: SettingTable): string {
  const name = texts.configPage;
  const program = command.name();
  return [
    ...header(name, 5, "Hydra"),
    ...section("NAME", [`${escaped(name)} \\- configuration file of ${escaped(program)}`]),
    ...section("DESCRIPTION", [
      "A TOML file in UTF\\-8, named by \\fB\\-\\-config\\-path\\fR. Keys are case\\-sensitive; unknown keys, values of",
      "another type and values out of range end the program with exit code 2 and one line that names file and key.",
      "\\fB\\-\\-check\\-config\\fR validates a file, \\fB\\-\\-print\\-default\\-config\\fR prints one.",
    ]),
    ...section("KEYS", settings(table)),
    ...section("SEE ALSO", [`.BR ${escaped(program)} (1)`]),
    "",
  ].join("\n");
}
