/** How one key of a configuration file is described; the checks and the reference manual are made from it. */
import { checkArgument, isObject } from "../argument-checks.js";

/** `yes`: at the next reload. `partly`: see the meaning. `no`: at the next start. */
export type Live = "yes" | "partly" | "no";

interface Described {
  readonly meaning: string;
  readonly live: Live;
  /** Not known to the Rust programs: a file with it is refused there. */
  readonly own?: true;
  /** Accepted for the sake of existing files and read by no part of the program: setting it is a warning. */
  readonly ignored?: true;
  /** What the manual shows as default when that is not a plain value. */
  readonly defaultText?: string;
}

interface Ranged {
  readonly unit: string;
  readonly min: number;
  readonly max: number;
  /** What the ends of the range mean. */
  readonly special?: string;
}

/** `default: undefined` marks a key that may be absent. */
export type Setting = Described &
  (
    | (Ranged & { readonly kind: "integer" | "number"; readonly default: number | undefined })
    | { readonly kind: "boolean"; readonly default: boolean }
    | { readonly kind: "choice"; readonly choices: readonly string[]; readonly default: string }
    | {
        readonly kind: "text" | "path" | "secret";
        readonly default: string | undefined;
        /** Not empty, and without white space and control characters. */
        readonly word?: true;
      }
    | { readonly kind: "list" | "paths"; readonly default: readonly string[] | undefined }
    | { readonly kind: "table"; readonly members: SettingTable; readonly default: undefined }
  );

/** Settings by key. */
export type SettingTable = Readonly<Record<string, Setting>>;

/** Limit of the 32-bit integers that other programs read some keys into. */
export const int32Max = 2 ** 31 - 1;
/** Limit of unsigned 32-bit integers. */
export const uint32Max = 2 ** 32 - 1;
/** Largest integer that a JavaScript number holds exactly. */
export const integerMax = Number.MAX_SAFE_INTEGER;

type Plain<S extends Setting> = S extends { readonly kind: "integer" | "number" }
  ? number
  : S extends { readonly kind: "boolean" }
    ? boolean
    : S extends { readonly kind: "choice" }
      ? S["choices"][number]
      : S extends { readonly kind: "list" | "paths" }
        ? readonly string[]
        : S extends { readonly kind: "table" }
          ? ValuesOf<S["members"]>
          : string;

/** Type of the checked values of a table: undefined where a key has no default. */
export type ValuesOf<T extends SettingTable> = {
  readonly [K in keyof T]: Plain<T[K]> | (T[K]["default"] extends undefined ? undefined : never);
};

/** @throws UsageError when it is not a table of settings, such as `queueRunnerSettings` */
export function checkSettingTable(owner: string, settings: SettingTable): void {
  checkArgument(owner, "settings", settings, {
    words: "a table of settings: queueRunnerSettings or builderSettings",
    accepts: (value) => isObject(value) && Object.values(value).every((each) => isObject(each)),
  });
}
