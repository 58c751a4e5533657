/** The reference of all keys, in Markdown, made from the tables that check the files. */

import type { Setting, SettingTable } from "./setting.js";
import { checkSettingTable } from "./setting.js";

function limit(value: number): string {
  return Math.abs(value) === Number.MAX_SAFE_INTEGER ? "" : String(value);
}

function typeText(setting: Setting): string {
  switch (setting.kind) {
    case "integer":
    case "number": {
      const range = `${limit(setting.min)}…${limit(setting.max)}`;
      const bounds = range === "…" ? "" : `, ${range}`;
      return `${setting.kind === "integer" ? "integer" : "number"} (${setting.unit}${bounds})`;
    }
    case "choice":
      return setting.choices.map((choice) => `\`"${choice}"\``).join(", ");
    case "list":
      return "list of strings";
    case "paths":
      return "list of paths";
    case "text":
      return "string";
    case "secret":
      return "string, kept out of logs";
    case "boolean":
    case "path":
    case "table":
      break;
  }
  return setting.kind;
}

function defaultText(setting: Setting): string {
  if (setting.defaultText !== undefined) return setting.defaultText;
  return setting.default === undefined ? "–" : `\`${JSON.stringify(setting.default)}\``;
}

function rows(settings: SettingTable, withLive: boolean, prefix = ""): string[] {
  return Object.entries(settings).flatMap(([key, setting]) => {
    const special = "special" in setting && setting.special !== undefined ? ` (${setting.special})` : "";
    const cells = [
      `\`${prefix}${key}\`${setting.own === true ? " ⁺" : ""}`,
      typeText(setting),
      defaultText(setting),
      ...(withLive ? [setting.live] : []),
      `${setting.meaning}${special}`,
    ];
    const row = `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
    return setting.kind === "table" ? [row, ...rows(setting.members, withLive, `${key}.`)] : [row];
  });
}

/** A Markdown table of the settings; `withLive` adds the column that says when a changed value counts. */
export function settingsTable(settings: SettingTable, withLive: boolean): string {
  checkSettingTable("settingsTable", settings);
  const titles = ["Key", "Type", "Default", ...(withLive ? ["Live"] : []), "Meaning"];
  return [
    `| ${titles.join(" | ")} |`,
    `|${titles.map(() => "---").join("|")}|`,
    ...rows(settings, withLive),
    "",
  ].join("\n");
}
