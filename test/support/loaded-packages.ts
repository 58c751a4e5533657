/** Which npm packages a program loads, seen by the debugger's interface, for modules and `require` alike. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Appends the URL of every script that the program loads to a file. */
const recorder = (file: string): string => `
  import { appendFileSync } from "node:fs";
  import { Session } from "node:inspector";
  const session = new Session();
  session.connect();
  session.on("Debugger.scriptParsed", ({ params }) => appendFileSync(${JSON.stringify(file)}, params.url + "\\n"));
  session.post("Debugger.enable");`;

/** Environment for a Node program that writes what it loads to `file`. */
export function recordLoading(file: string): Readonly<Record<string, string>> {
  return {
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(recorder(file))}`,
  };
}

/** Packages that come along with one of our dependencies count as that dependency. */
const families: readonly (readonly [RegExp, string])[] = [
  [/^@(?:aws-sdk|aws|smithy)\//, "@aws-sdk"],
  [/^(?:pg|pg-.*|postgres-.*|pgpass|split2|xtend)$/, "pg"],
  [/^(?:@connectrpc|@bufbuild)\//, "@connectrpc"],
  [/^(?:prom-client|bintrees|tdigest|@opentelemetry\/api)$/, "prom-client"],
];

/** The packages of the scripts with these URLs, each once. */
export function packagesOf(urls: readonly string[]): string[] {
  const names = urls.flatMap((url) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1] ?? []);
  const family = (name: string): string => families.find(([pattern]) => pattern.test(name))?.[1] ?? name;
  return [...new Set(names.map(family))].sort();
}

/** The packages that were loaded so far by the program that `recordLoading(file)` was given to. */
export function loadedPackages(file: string): string[] {
  return packagesOf(existsSync(file) ? readFileSync(file, "utf8").split("\n") : []);
}

/** Whether a script with this text was loaded so far by the program that `recordLoading(file)` was given to. */
export function hasLoaded(file: string, text: string): boolean {
  return scriptsOf(file).some((name) => readFileSync(name, "utf8").includes(text));
}

/** Scripts of files, Node's own left out. */
function scriptsOf(file: string): string[] {
  const urls = new Set(readFileSync(file, "utf8").split("\n"));
  return [...urls].filter((url) => url.startsWith("file:")).map((url) => fileURLToPath(url));
}

/** Size of all scripts that were loaded so far by the program that `recordLoading(file)` was given to, without Node's own. */
export function loadedKilobytes(file: string): number {
  return Math.ceil(scriptsOf(file).reduce((sum, name) => sum + statSync(name).size, 0) / 1000);
}
