/**
 * Arguments of callers without a type checker. Each fault is a `UsageError` that names the argument and says what it must
 * be, thrown where the argument is given rather than where it is used first.
 */
import { UsageError } from "./errors.js";

/** What an argument must be. */
export interface ArgumentRule {
  /** Follows "must be". */
  readonly words: string;
  readonly accepts: (value: unknown) => boolean;
}

const rule = (words: string, accepts: (value: unknown) => boolean): ArgumentRule => ({ words, accepts });

/** Whether a value has members: no primitive and no list. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A string. */
export const aText: ArgumentRule = rule("a string", (value) => typeof value === "string");
/** `true` or `false`. */
export const aFlag: ArgumentRule = rule("true or false", (value) => typeof value === "boolean");
/** A finite number, 0 or more. */
export const anAmount: ArgumentRule = rule(
  "a number, 0 or more",
  (value) => typeof value === "number" && value >= 0,
);
/** Called by us. */
export const aFunction: ArgumentRule = rule("a function", (value) => typeof value === "function");
/** Bytes, as `Buffer` is. */
export const someBytes: ArgumentRule = rule("bytes (Uint8Array)", (value) => value instanceof Uint8Array);
/** A list of anything. */
export const aList: ArgumentRule = rule("a list", Array.isArray);
/** An object of any shape. */
export const anObject: ArgumentRule = rule("an object", isObject);
/** What `for await` takes. */
export const aStream: ArgumentRule = rule(
  "an async iterable of bytes",
  (value) => typeof value === "object" && value !== null && Symbol.asyncIterator in value,
);
/** What `for` takes, but not a string. */
export const aSeries: ArgumentRule = rule(
  "an iterable, such as a list",
  (value) => typeof value === "object" && value !== null && Symbol.iterator in value,
);
/** A Nix store. */
export const aStore: ArgumentRule = rule(
  "a Nix store: pass what openStore() resolves to",
  (value) => isObject(value) && typeof value.storeDir === "string",
);
/** Ends a wait. */
export const aSignal: ArgumentRule = rule("an AbortSignal", (value) => value instanceof AbortSignal);

/** An object with these methods. `words`: what it is and where to get it. */
export function having(words: string, methods: readonly string[]): ArgumentRule {
  return rule(
    words,
    (value) => isObject(value) && methods.every((name) => typeof value[name] === "function"),
  );
}

/** A list of at least one, all of which `each` accepts. */
export function listOf(words: string, each: ArgumentRule): ArgumentRule {
  return rule(words, (value) => Array.isArray(value) && value.length > 0 && value.every(each.accepts));
}

/** What a `Logger` can do. */
export const logMethods = ["error", "warn", "info", "debug", "trace", "child"] as const;

/** Where log lines go. */
export const aLogger: ArgumentRule = having("a Logger: see createLogger()", logMethods);

/** One of a few words, or what `other` accepts. */
export function oneOf(choices: readonly string[], other?: ArgumentRule): ArgumentRule {
  const words = choices.map((choice) => `'${choice}'`).join(", ");
  return rule(other === undefined ? `one of ${words}` : `${other.words} or one of ${words}`, (value) =>
    typeof value === "string" ? choices.includes(value) : (other?.accepts(value) ?? false),
  );
}

/** The same, or undefined. */
export function optional({ words, accepts }: ArgumentRule): ArgumentRule {
  return { words, accepts: (value) => value === undefined || accepts(value) };
}

/** @throws UsageError `<owner>: <name> must be …` */
export function checkArgument(
  owner: string,
  name: string,
  value: unknown,
  { words, accepts }: ArgumentRule,
): void {
  if (!accepts(value)) throw new UsageError(`${owner}: ${name} must be ${words}`);
}

/**
 * Checks an object of options member by member. Members without a rule are not looked at.
 *
 * @throws UsageError that names the first wrong option
 */
export function checkMembers(
  owner: string,
  options: unknown,
  rules: Readonly<Record<string, ArgumentRule>>,
): void {
  if (!isObject(options)) {
    const needed = Object.keys(rules).filter((name) => rules[name]?.accepts(undefined) !== true);
    const members = needed.length === 0 ? "" : ` with at least { ${needed.join(", ")} }`;
    throw new UsageError(`${owner}: pass an object${members}`);
  }
  for (const [name, one] of Object.entries(rules))
    checkArgument(owner, `option '${name}'`, options[name], one);
}

/**
 * For options that would do nothing, such as misspelt ones; `known` has the names of all.
 *
 * @throws UsageError that names the first unknown option, and all there are
 */
export function checkNoOthers(
  owner: string,
  options: object,
  known: Readonly<Record<string, unknown>>,
): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || Object.hasOwn(known, name)) continue;
    throw new UsageError(`${owner}: unknown option '${name}'; there are ${Object.keys(known).join(", ")}`);
  }
}

/** Whether a value has all these members, as `checkMembers` wants them; for many values of one shape. */
export function hasMembers(rules: Readonly<Record<string, ArgumentRule>>): (value: unknown) => boolean {
  const entries = Object.entries(rules);
  return (value) => isObject(value) && entries.every(([name, { accepts }]) => accepts(value[name]));
}

/** A list of any length, all of which `each` accepts. */
export function manyOf(words: string, each: (value: unknown) => boolean): ArgumentRule {
  return rule(words, (value) => Array.isArray(value) && value.every(each));
}

/** A number, whatever its sign; not NaN. */
export const aNumber: ArgumentRule = rule(
  "a number",
  (value) => typeof value === "number" && !Number.isNaN(value),
);
/** A string with something in it. */
export const aName: ArgumentRule = rule(
  "a string, not empty",
  (value) => typeof value === "string" && value !== "",
);
/** A list of strings. */
export const someTexts: ArgumentRule = manyOf("a list of strings", (value) => typeof value === "string");

/**
 * For constructors that only a factory calls, which TypeScript makes private.
 *
 * @throws UsageError that names the factory
 */
export function checkMade(owner: string, factory: string, made: boolean): void {
  if (!made) throw new UsageError(`${owner} has no public constructor: use ${factory}`);
}
