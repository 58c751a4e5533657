/** From what a file or an object holds to checked values, by a table of settings. */

import { ConfigError, configError, keyError } from "./config-error.js";
import { Secret } from "./secret.js";
import type { Setting, SettingTable, ValuesOf } from "./setting.js";
import { nearestWord } from "./spelling.js";

/** Value of one key; absent keys have their default, `undefined` where there is none. */
type SettingValue = string | number | boolean | readonly string[] | SettingValues | undefined;
type SettingValues = { readonly [key: string]: SettingValue };

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (value instanceof Date) return "a date";
  if (value === null) return "null";
  const names: Readonly<Record<string, string>> = {
    string: "a string",
    bigint: "an integer",
    number: "a float",
    boolean: "a boolean",
    undefined: "undefined",
    function: "a function",
    symbol: "a symbol",
  };
  return names[typeof value] ?? "a table";
}

const expected: Readonly<Record<Setting["kind"], string>> = {
  integer: "an integer",
  number: "a number",
  boolean: "true or false",
  choice: "a string",
  text: "a string",
  path: "a string (a path)",
  secret: "a string",
  list: "a list of strings",
  paths: "a list of strings (paths)",
  table: "a table",
};

const isWord = (text: string): boolean => /^[^\s\p{Cc}]+$/u.test(text);

/** A checker for one file or object; every fault names it and the key. */
class Checker {
  readonly #source: string;
  readonly #asParsed: (value: unknown) => unknown;

  constructor(source: string, asParsedValue: (value: unknown) => unknown) {
    this.#source = source;
    this.#asParsed = asParsedValue;
  }

  values(table: object, settings: SettingTable, prefix = ""): SettingValues {
    for (const key of Object.keys(table)) {
      if (Object.hasOwn(settings, key)) continue;
      const near = nearestWord(key, Object.keys(settings));
      const advice = near === undefined ? "remove it" : `did you mean '${prefix}${near}'?`;
      const name = prefix + key;
      throw new ConfigError(`${this.#source}: unknown key '${name}'; ${advice}`, { key: name });
    }
    const given = new Map<string, unknown>(
      Object.entries(table)
        .filter(([, value]) => value !== undefined)
        .map(([key, value]) => [key, this.#asParsed(value)]),
    );
    return Object.fromEntries(
      Object.entries(settings).map(([key, setting]) => [
        key,
        given.has(key) ? this.#value(given.get(key), setting, prefix + key) : setting.default,
      ]),
    );
  }

  #value(value: unknown, setting: Setting, key: string): SettingValue {
    switch (setting.kind) {
      case "integer":
        // The parser gives integers as bigint, so that 1.0 is not taken for one.
        if (typeof value === "bigint") return this.#inRange(value, setting, key);
        break;
      case "number":
        if (typeof value === "bigint" || typeof value === "number") {
          return this.#inRange(value, setting, key);
        }
        break;
      case "boolean":
        if (typeof value === "boolean") return value;
        break;
      case "choice":
        if (typeof value === "string") return this.#choice(value, setting.choices, key);
        break;
      case "list":
      case "paths":
        if (Array.isArray(value))
          return value.map((item) => this.#listItem(item, setting.kind === "paths", key));
        break;
      case "table":
        if (
          typeof value === "object" &&
          value !== null &&
          !Array.isArray(value) &&
          !(value instanceof Date)
        ) {
          return this.values(value, setting.members, `${key}.`);
        }
        break;
      case "text":
      case "path":
      case "secret":
        if (typeof value === "string") {
          if (setting.kind === "path" && value === "") throw this.#error(key, " is an empty path");
          if (setting.word && !isWord(value)) {
            throw this.#error(key, ` is ${JSON.stringify(value)}; it must be one word, without spaces`);
          }
          return value;
        }
    }
    throw this.#error(key, ` must be ${expected[setting.kind]}, not ${kindOf(value)}`);
  }

  #inRange(
    written: number | bigint,
    setting: Setting & { readonly min: number; readonly max: number },
    key: string,
  ): number {
    // Compared before it is rounded, and shown as it was written.
    if (written >= setting.min && written <= setting.max) return Number(written);
    throw this.#error(key, ` is ${written}; it must be between ${setting.min} and ${setting.max}`);
  }

  #choice(value: string, choices: readonly string[], key: string): string {
    if (choices.includes(value)) return value;
    const near = nearestWord(value, choices);
    const advice = near === undefined ? "" : `; did you mean '${near}'?`;
    throw this.#error(key, ` is '${value}'; it must be one of ${choices.join(", ")}${advice}`);
  }

  #listItem(item: unknown, isPath: boolean, key: string): string {
    if (typeof item !== "string") {
      throw this.#error(key, ` must be a list of strings, but has ${kindOf(item)} in it`);
    }
    if (isPath && item === "") throw this.#error(key, " has an empty path in it");
    return item;
  }

  #error(key: string, text: string): ConfigError {
    return keyError(this.#source, key, text);
  }
}

/**
 * Checks what a parser made of a file against the table; its integers are bigints. `file` is only for messages.
 *
 * @throws ConfigError that names file and key
 */
export function checkParsed<T extends SettingTable>(file: string, table: object, settings: T): ValuesOf<T> {
  // The checker went by the same table that the type is computed from.
  return new Checker(file, (value) => value).values(table, settings) as ValuesOf<T>;
}

/**
 * Checks an object against the table: its keys are those of the file. Numbers without a fraction are integers, and a key
 * that is undefined is absent. `source` is only for messages.
 *
 * @throws ConfigError that names the key
 */
export function checkValues<T extends SettingTable>(
  source: string,
  values: unknown,
  settings: T,
): ValuesOf<T> {
  if (typeof values !== "object" || values === null || Array.isArray(values)) {
    throw configError(source, `the configuration must be an object, not ${kindOf(values)}`);
  }
  return new Checker(source, asParsed).values(values, settings) as ValuesOf<T>;
}

/** A value of an object as the parser would have given it. */
function asParsed(value: unknown): unknown {
  if (typeof value === "number" && Number.isInteger(value)) return BigInt(value);
  if (value instanceof Secret) return value.reveal();
  // An array may have holes, which no loop over its values would see.
  return Array.isArray(value) ? Array.from(value, (item: unknown) => item) : value;
}
