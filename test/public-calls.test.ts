// Every function and every class that an entrance exports, called with arguments that are wrong: what it throws is an
// error of ours with a code, never a TypeError from inside. The entrances are read, so that a new export is under test.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HydraError } from "../lib/errors.js";

/** What fits no argument but those of `takesAnything`. */
const nothing: Readonly<Record<string, unknown>> = { undefined, null: null };
const wrong: Readonly<Record<string, unknown>> = {
  ...nothing,
  "a number": 5,
  NaN: Number.NaN,
  "a string": "text",
  true: true,
  "a list": [],
  "an object": {},
  "a function": () => {},
};

/** Exports that take `null`, and why. Errors are not called: they are thrown, and take any text. */
const takesAnything: Readonly<Record<string, string>> = {
  errorChain: "describes whatever was thrown",
  failureCode: "looks at whatever was thrown",
  failureKind: "looks at whatever was thrown",
  isSystemError: "asks about whatever was thrown",
  isCompressionMethod: "a question about any text: the answer is no",
  isHashAlgorithm: "a question about any text: the answer is no",
  isStorePath: "a question about any text: the answer is no",
  keepHeapSmall: "has no arguments",
  loadDecoders: "has no arguments",
  requireFilesToLoad: "has no arguments",
  shutdownSignals: "has no arguments; ends with the process",
  "new ListingBuilder": "has no arguments",
  "new Timers": "has no arguments",
  "new TimeQueue": "has no arguments",
  "new TrafficCounters": "has no arguments",
};

/** Without arguments: with the default for all of them. */
const allOptional: ReadonlySet<string> = new Set([
  "DaemonStore.open",
  "defineBuilderConfig",
  "defineQueueRunnerConfig",
  "inheritedSockets",
  "loadBuilderConfig",
  "loadQueueRunnerConfig",
  "new EventBus",
  "new HostNames",
  "new Metrics",
  "new PathInfoCache",
  "new Scheduler",
  "new SystemdNotifier",
  "openStore",
  "parseStoreUri",
  "readNixConfiguration",
  "watchdogIntervalMs",
]);

type AnyCall = (...args: readonly unknown[]) => unknown;

interface PublicCall {
  readonly name: string;
  readonly call: AnyCall;
  readonly arity: number;
}

const isClass = (value: object): boolean => /^class\b/.test(Function.prototype.toString.call(value));

/** A function; a class as its constructor and its static functions. */
function callsOf(name: string, value: AnyCall): PublicCall[] {
  if (!isClass(value)) return [{ name, call: value, arity: value.length }];
  if (value.prototype instanceof HydraError || Object.is(value, HydraError)) return [];
  const statics = Object.getOwnPropertyNames(value).flatMap((key): PublicCall[] => {
    const one: unknown = Reflect.get(value, key);
    if (typeof one !== "function") return [];
    const call: AnyCall = (...args) => Reflect.apply(one, value, args);
    return [{ name: `${name}.${key}`, call, arity: one.length }];
  });
  const construct: AnyCall = (...args) => Reflect.construct(value, args);
  return [{ name: `new ${name}`, call: construct, arity: value.length }, ...statics];
}

const isCallable = (value: unknown): value is AnyCall => typeof value === "function";

async function publicCalls(): Promise<PublicCall[]> {
  const root = new URL("../", import.meta.url);
  const text = await readFile(new URL("package.json", root), "utf8");
  const { exports } = JSON.parse(text) as { exports: Record<string, { default: string }> };
  const found = new Map<unknown, PublicCall[]>();
  for (const { default: built } of Object.values(exports)) {
    const source = built.replace("./dist/", "").replace(/\.js$/, ".ts");
    const module = (await import(new URL(source, root).href)) as Record<string, unknown>;
    for (const [name, value] of Object.entries(module))
      if (isCallable(value) && !found.has(value)) found.set(value, callsOf(name, value));
  }
  return [...found.values()].flat();
}

/** What was thrown, or "taken". A generator runs up to its first value; what holds something lets go of it. */
async function outcomeOf({ call, arity }: PublicCall, value: unknown): Promise<unknown> {
  try {
    const result = await call(...Array.from({ length: Math.max(1, arity) }, () => value));
    if (typeof result !== "object" || result === null) return "taken";
    if ("next" in result && isCallable(result.next)) await result.next();
    if ("return" in result && isCallable(result.return)) await result.return();
    if (Symbol.asyncDispose in result && isCallable(result[Symbol.asyncDispose]))
      await Reflect.apply(result[Symbol.asyncDispose] as AnyCall, result, []);
    return "taken";
  } catch (error) {
    return error;
  }
}

const calls = await publicCalls();
const before = process.cwd();
let folder = "";
beforeAll(async () => {
  // Names of files that are given, such as "text", are looked for here.
  folder = await mkdtemp(join(tmpdir(), "public-calls-"));
  process.chdir(folder);
});
afterAll(async () => {
  process.chdir(before);
  await rm(folder, { recursive: true });
});

describe("public functions and constructors", () => {
  it("are found", () => {
    const names = calls.map(({ name }) => name);
    for (const some of ["new QueueRunner", "BuilderClient.open", "printDerivation", "new LogStore"])
      expect(names).toContain(some);
    expect(calls.length).toBeGreaterThan(200);
    const unknown = [...Object.keys(takesAnything), ...allOptional].filter((name) => !names.includes(name));
    expect(unknown, "exceptions that are not exported").toEqual([]);
  });

  const tested = calls.filter(({ name }) => !Object.hasOwn(takesAnything, name));
  it.each(tested.map((one) => [one.name, one] as const))("%s says what is wrong", async (name, one) => {
    for (const [kind, value] of Object.entries(wrong)) {
      const outcome = await outcomeOf(one, value);
      const isTaken = outcome === "taken";
      if (isTaken && Object.hasOwn(nothing, kind) && !(kind === "undefined" && allOptional.has(name)))
        expect.fail(`takes ${kind}`);
      if (isTaken) continue;
      expect(outcome, `${kind}: ${String(outcome)}`).toBeInstanceOf(HydraError);
      expect((outcome as HydraError).code, kind).toMatch(/^[a-z-]+$/);
      expect((outcome as HydraError).message, kind).not.toBe("");
    }
  });
});
