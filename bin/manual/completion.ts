/** Completion for bash, zsh and fish, made from a command line. */
import type { Command, Option } from "commander";

/** What follows an option: a file, something else, or nothing. */
type Operand = "file" | "other" | "none";

function operand(option: Option): Operand {
  if (!option.required && !option.optional) return "none";
  return /<file>/.test(option.flags) ? "file" : "other";
}

interface Completed {
  readonly names: readonly string[];
  readonly operand: Operand;
  readonly description: string;
  /** May be given several times. */
  readonly repeatable: boolean;
}

function completed(command: Command): Completed[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .map((option) => ({
      names: [option.short, option.long].filter((name) => name !== undefined && name !== null),
      operand: operand(option),
      description: option.description,
      repeatable: Array.isArray(option.defaultValue),
    }));
}

const note = "# Made by npm run manual; changes here are lost.";

function named(options: readonly Completed[], kind: Operand): string[] {
  return options.filter((option) => option.operand === kind).flatMap((option) => option.names);
}

/** For bash; `names` are all names that the program is installed under. */
export function bashCompletion(command: Command, names: readonly string[]): string {
  const options = completed(command);
  const name = `_${command.name().replaceAll("-", "_")}`;
  return [
    note,
    `${name}() {`,
    // The shell's own variables, in its syntax.
    `  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]}`,
    "  case $before in",
    `    ${named(options, "file").join("|")}) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;`,
    `    ${named(options, "other").join("|")}) COMPREPLY=() ;;`,
    `    *) mapfile -t COMPREPLY < <(compgen -W "${options.flatMap((option) => option.names).join(" ")}" -- "$word") ;;`,
    "  esac",
    "}",
    `complete -o filenames -F ${name} ${names.join(" ")}`,
    "",
  ].join("\n");
}

/** One specification of zsh's `_arguments`. */
function zshSpecification({ names, operand: kind, description, repeatable }: Completed): string {
  const text = description.replaceAll(/[[\]:\\]/g, "\\$&").replaceAll("'", "'\\''");
  const value = { file: ":file:_files", other: ":value:", none: "" }[kind];
  if (names.length === 1) return `'${repeatable ? "*" : ""}${names.join("")}[${text}]${value}'`;
  const others = repeatable ? "'*'" : `'(${names.join(" ")})'`;
  return `${others}{${names.join(",")}}'[${text}]${value}'`;
}

/** For zsh. */
export function zshCompletion(command: Command, names: readonly string[]): string {
  const lines = completed(command).map((option) => `  ${zshSpecification(option)}`);
  return [`#compdef ${names.join(" ")}`, note, "_arguments -s \\", lines.join(" \\\n"), ""].join("\n");
}

/** For fish. */
export function fishCompletion(command: Command, names: readonly string[]): string {
  const lines = names.flatMap((name) =>
    completed(command).map(({ names: flags, operand: kind, description }) => {
      const spelled = flags.map((flag) =>
        flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`,
      );
      const value = { file: " -r -F", other: " -x", none: " -f" }[kind];
      return `complete -c ${name} ${spelled.join(" ")}${value} -d '${description.replaceAll("'", "\\'")}'`;
    }),
  );
  return [note, ...lines, ""].join("\n");
}
