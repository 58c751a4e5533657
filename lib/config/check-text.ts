/** TOML text to checked values. Apart from the rest, so that the parser is loaded with the first file only. */
import { parse, TomlError } from "smol-toml";
import { checkParsed } from "./check-file.js";
import { configError } from "./config-error.js";
import type { SettingTable, ValuesOf } from "./setting.js";

/**
 * Parses TOML text and checks it against the table. `file` is only for messages.
 * @throws UsageError with one line that names file and key (or line and column)
 */
export function checkText<T extends SettingTable>(file: string, text: string, settings: T): ValuesOf<T> {
  let table: object;
  try {
    table = parse(text, { integersAsBigInt: true });
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    const what = (cause.message.split("\n")[0] ?? "").replace("Invalid TOML document: ", "");
    throw configError(file, `line ${cause.line}, column ${cause.column}: not TOML: ${what}`);
  }
  return checkParsed(file, table, settings);
}
