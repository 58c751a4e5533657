/** Debian's `promtool`, and what it says of an exposition that is ours to decide. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { fixture } from "../status/recorded-source.js";

const prometheusFolder = fileURLToPath(new URL("../../ops/prometheus", import.meta.url));

export const hasPromtool = spawnSync("promtool", ["--version"]).status === 0;

/** Runs it in `ops/prometheus`. */
export function promtool(
  args: readonly string[],
  input = "",
): { readonly status: number | null; readonly output: string } {
  const { status, stdout, stderr } = spawnSync("promtool", args, {
    cwd: prometheusFolder,
    encoding: "utf8",
    input,
  });
  return { status, output: stdout + stderr };
}

/** Families of an exposition. */
export const namesIn = (text: string): string[] =>
  [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name ?? "");

/** Families of Node that prom-client names, for everyone's dashboards. */
const named = /^nodejs_/;
/** Families of the Rust runner: their names are given. */
const given = new Set([
  ...namesIn(fixture("metrics.txt")),
  // Of stores; there was none when it was recorded.
  "hydraqueuerunner_s3_get_time_ms",
  "hydraqueuerunner_s3_put_time_ms",
]);

/** What `promtool check metrics` says, and the part of it that is about names of our own. */
export function complaintsAbout(exposition: string): {
  readonly all: readonly string[];
  readonly own: readonly string[];
} {
  const all = promtool(["check", "metrics"], exposition)
    .output.split("\n")
    .filter((line) => line !== "");
  return { all, own: all.filter((line) => !named.test(line) && !given.has(line.split(" ")[0] ?? "")) };
}
