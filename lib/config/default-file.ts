/** A configuration file with every key at its default, made from the tables that check the files. */

import type { Setting, SettingTable } from "./setting.js";
import { checkSettingTable } from "./setting.js";

const lineWidth = 100;

function wrapped(text: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length + 1 > lineWidth) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

/** Nothing stands for a key that is absent by default: any value would be a decision. */
function valueText(setting: Setting): string {
  return setting.default === undefined ? "" : ` ${JSON.stringify(setting.default)}`;
}

function remarks(setting: Setting): string[] {
  const special = "special" in setting && setting.special !== undefined ? [`${setting.special}.`] : [];
  const range = "unit" in setting ? [`Unit: ${setting.unit}.`] : [];
  const choices = setting.kind === "choice" ? [`One of ${setting.choices.join(", ")}.`] : [];
  const absent = setting.default === undefined ? [`Default: ${setting.defaultText ?? "absent"}.`] : [];
  const own = setting.own === true ? ["The Rust programs refuse a file with this key."] : [];
  return [setting.meaning, ...range, ...special, ...choices, ...absent, ...own];
}

function entry(key: string, setting: Setting): string[] {
  const comment = wrapped(remarks(setting).join(" ")).map((line) => `# ${line}`);
  if (setting.kind !== "table") return [...comment, `#${key} =${valueText(setting)}`, ""];
  const members = Object.entries(setting.members).flatMap(([name, member]) => entry(name, member));
  return [...comment, `#[${key}]`, ...members];
}

/**
 * The text of a TOML file that names each key with meaning, unit and default. Every value is commented out (`#key = …`,
 * without a blank), so that the file as it stands means the defaults, also those of later versions. Tables come last.
 */
export function defaultConfigFile(settings: SettingTable): string {
  checkSettingTable("defaultConfigFile", settings);
  const entries = Object.entries(settings);
  const plain = entries.filter(([, setting]) => setting.kind !== "table");
  const tables = entries.filter(([, setting]) => setting.kind === "table");
  return [...plain, ...tables].flatMap(([key, setting]) => entry(key, setting)).join("\n");
}
