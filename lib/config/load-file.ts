import { readFile } from "node:fs/promises";
import { aFlag, anObject, aText, checkMembers, optional } from "../argument-checks.js";

import { configError } from "./config-error.js";
import type { SettingTable, ValuesOf } from "./setting.js";
import type { Loaded, LoadOptions } from "./types.js";

/** @throws UsageError that names the option */
export function checkLoadOptions(owner: string, options: LoadOptions): void {
  checkMembers(owner, options, {
    path: optional(aText),
    explicit: optional(aFlag),
    env: optional(anObject),
  });
}

/** File to read when none is given. */
const defaultPath = "config.toml";

/**
 * Reads and checks a file. A missing file means the defaults when its path was not given explicitly; any other failure
 * to read is an error, because the defaults would switch off the authentication that the file may configure.
 * @throws UsageError
 */
export async function loadFile<T extends SettingTable>(
  options: LoadOptions,
  settings: T,
): Promise<Loaded<ValuesOf<T>> & { readonly name: string }> {
  const name = options.path ?? defaultPath;
  const { checkText } = await import("./check-text.js");
  const explicit = options.explicit ?? options.path !== undefined;
  let bytes: Uint8Array;
  try {
    bytes = await readFile(name);
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    if (code === "ENOENT" && !explicit) {
      const warnings = [`${name} does not exist: all settings have their defaults`];
      return { name, path: undefined, warnings, config: checkText(name, "", settings) };
    }
    const what = code === "ENOENT" ? "does not exist" : `cannot be read (${code})`;
    throw configError(name, `the configuration file ${what}; check --config-path`, cause);
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw configError(name, "the configuration file is not UTF-8", cause);
  }
  return { name, path: name, warnings: [], config: checkText(name, text, settings) };
}
