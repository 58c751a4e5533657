/** What `--help` and the manual pages say about a program besides its options. */

/** A name, or several with one meaning, and what it means. */
export type Described = readonly [name: string, meaning: string];

/** Texts of one program; names and meanings are plain text. */
export interface ProgramTexts {
  readonly environment: readonly Described[];
  readonly exitCodes: readonly Described[];
  readonly signals: readonly Described[];
  readonly files: readonly Described[];
  /** Name of the manual page that describes the configuration file. */
  readonly configPage: string;
}

function table(rows: readonly Described[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, meaning]) => `  ${name.padEnd(width)}  ${meaning}`).join("\n");
}

/** What stands after the options in `--help`. */
export function helpEnd(name: string, texts: ProgramTexts): string {
  return [
    "",
    "Environment:",
    table(texts.environment),
    "",
    "Exit codes:",
    table(texts.exitCodes),
    "",
    `Manual: man ${name}, man ${texts.configPage}; docs/ in the package.`,
  ].join("\n");
}
