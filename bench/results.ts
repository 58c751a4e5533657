/** Results of benchmarks as rows: printed, and kept in one file, where each run replaces the rows of its benchmark. */
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { Figures, Goal, Result } from "./benchmark.js";

/** A row of `bench/results/latest.json`. */
export interface ResultRow {
  readonly bench: string;
  readonly figure: string;
  readonly value: number | string;
  readonly unit: string;
  /** `<name> <value>`, or null for none. */
  readonly yardstick: string | null;
  /** Value through yardstick. */
  readonly ratio: number | null;
  /** `ratio at most 1.5`, `at least 450`, or null for none. */
  readonly goal: string | null;
  readonly met: boolean | null;
  /** Version of Node that measured. */
  readonly node: string;
  /** When, as ISO 8601. */
  readonly at: string;
}

/** What is the same in all rows of a run. */
export interface RunStamp {
  readonly bench: string;
  readonly node: string;
  readonly at: string;
}

function isMet({ of, bound, limit }: Goal, value: number, ratio: number | null): boolean {
  const judged = of === "ratio" ? (ratio ?? Number.NaN) : value;
  return bound === "at most" ? judged <= limit : judged >= limit;
}

function rounded(value: number): number {
  return Number(value.toPrecision(4));
}

/** The row of a result. A ratio without a yardstick never meets its goal. */
export function rowOf({ figure, value, unit, yardstick, goal }: Result, stamp: RunStamp): ResultRow {
  const { bench, node, at } = stamp;
  const ratio = yardstick === undefined ? null : value / yardstick.value;
  return {
    bench,
    figure,
    value: rounded(value),
    unit,
    yardstick: yardstick === undefined ? null : `${yardstick.name} ${rounded(yardstick.value)}`,
    ratio: ratio === null ? null : rounded(ratio),
    goal: goal === undefined ? null : `${goal.of === "ratio" ? "ratio " : ""}${goal.bound} ${goal.limit}`,
    met: goal === undefined ? null : isMet(goal, value, ratio),
    node,
    at,
  };
}

/** The rows of what a benchmark gave. */
export function rowsOf(given: readonly Result[] | Figures, stamp: RunStamp): ResultRow[] {
  if (isResults(given)) return given.map((result) => rowOf(result, stamp));
  const none = { unit: "", yardstick: null, ratio: null, goal: null, met: null };
  return Object.entries(given).map(([figure, value]) => ({
    bench: stamp.bench,
    figure,
    value: typeof value === "number" ? rounded(value) : value,
    ...none,
    node: stamp.node,
    at: stamp.at,
  }));
}

function isResults(given: readonly Result[] | Figures): given is readonly Result[] {
  return Array.isArray(given);
}

const columns = ["bench", "figure", "value", "unit", "yardstick", "ratio", "goal", "met"] as const;

function cell(row: ResultRow, column: (typeof columns)[number]): string {
  const value = row[column];
  if (value === null) return "";
  if (typeof value === "boolean") return value ? "yes" : "NO";
  return String(value);
}

/** The rows as a table of text, one line each, with a head. */
export function tableOf(rows: readonly ResultRow[]): string {
  const widths = columns.map((column) =>
    Math.max(column.length, ...rows.map((row) => cell(row, column).length)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((text, index) => text.padEnd(widths[index] ?? 0))
      .join("  ")
      .trimEnd();
  return [line(columns), ...rows.map((row) => line(columns.map((column) => cell(row, column))))].join("\n");
}

interface ResultFile {
  readonly machine: Readonly<Record<string, number | string>>;
  readonly rows: readonly ResultRow[];
}

async function readRows(path: string): Promise<readonly ResultRow[]> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  return text === undefined ? [] : (JSON.parse(text) as ResultFile).rows;
}

/** Puts the rows into the file at `path`, in place of those of the same benchmark and version of Node. */
export async function keepRows(
  path: string,
  rows: readonly ResultRow[],
  machine: ResultFile["machine"],
): Promise<void> {
  const replaced = new Set(rows.map(({ bench, node }) => `${bench} ${node}`));
  const others = (await readRows(path)).filter(({ bench, node }) => !replaced.has(`${bench} ${node}`));
  const file: ResultFile = { machine, rows: [...others, ...rows] };
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.new`, `${JSON.stringify(file, undefined, 2)}\n`);
  await rename(`${path}.new`, path);
}
