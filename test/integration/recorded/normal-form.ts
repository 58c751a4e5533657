// Brings rows and notifications into a form in which two runs of the same case are equal.
import type { BuildRows, Row } from "../../support/hydra-tables.js";
import type { Notification } from "../../support/notifications.js";

export interface Outcome {
  /** Ids of the builds in the order in which they were queued. */
  readonly builds: readonly number[];
  readonly rows: BuildRows;
  readonly notifications: readonly Notification[];
}

export interface NormalForm {
  readonly rows: Readonly<Record<keyof BuildRows, readonly Row[]>>;
  /** `channel field field …` */
  readonly notifications: readonly string[];
}

export interface NormalFormOptions {
  /**
   * Hashes in store paths are replaced: for cases of which only the names of derivations were recorded, not the
   * expressions.
   */
  readonly withoutHashes?: boolean;
  /** Which of several builds of one derivation counts as cached is chance: put them in the order of that instead. */
  readonly orderByCached?: boolean;
}

const timeColumns = new Set(["timestamp", "starttime", "stoptime", "notificationpendingsince"]);
const idColumns = new Set(["id", "build", "propagatedfrom"]);

/** Puts a sign for "some time"; 0 and null mean something of their own. */
function time(value: Row[string]): Row[string] {
  return typeof value === "number" && value > 0 ? "some time" : value;
}

/** Steps that were handed out without a result in between ran side by side: their numbers are chance. */
function stepOrder(outcome: Outcome): Map<string, number> {
  const drvOf = new Map(
    outcome.rows.BuildSteps.map((step) => [`${step.build}\t${step.stepnr}`, String(step.drvpath)]),
  );
  const order = new Map([...drvOf.keys()].map((key) => [key, Number(key.split("\t")[1])]));
  let group: string[] = [];
  const flush = (): void => {
    const numbers = group.map((key) => order.get(key) ?? 0).sort((a, b) => a - b);
    const sorted = [...group].sort((a, b) => ((drvOf.get(a) ?? "") < (drvOf.get(b) ?? "") ? -1 : 1));
    for (const [index, key] of sorted.entries()) order.set(key, numbers[index] ?? 0);
    group = [];
  };
  for (const { channel, payload } of outcome.notifications) {
    if (channel === "step_started" && drvOf.has(payload)) group.push(payload);
    else if (channel === "step_finished") flush();
  }
  flush();
  return order;
}

export function normalForm(outcome: Outcome, options: NormalFormOptions = {}): NormalForm {
  const cached = new Map(outcome.rows.Builds.map((build) => [Number(build.id), Number(build.iscachedbuild)]));
  const builds =
    options.orderByCached === true
      ? [...outcome.builds].sort((a, b) => (cached.get(a) ?? 0) - (cached.get(b) ?? 0))
      : outcome.builds;
  const numbers = new Map(builds.map((id, index) => [id, index + 1]));
  const order = stepOrder(outcome);

  const text = (value: string): string => {
    const path = value.replace(/^\/.*\/build-logs\//, "<logs>/");
    return options.withoutHashes === true
      ? path.replace(/^<logs>\/..\/.{30}-/, "<logs>/<hash>-").replaceAll(/[0-9a-z]{32}-/g, "<hash>-")
      : path;
  };
  const cell = (row: Row, column: string): Row[string] => {
    const value = row[column] ?? null;
    if (timeColumns.has(column)) return time(value);
    if (idColumns.has(column) && typeof value === "number") return numbers.get(value) ?? `build ${value}`;
    switch (column) {
      case "jobset_id":
        return "the jobset";
      case "overhead":
        return value === null ? null : "some milliseconds";
      case "machine":
        return value === "" ? "" : "a machine";
      case "stepnr":
        return order.get(`${row.build}\t${row.stepnr}`) ?? value;
      case "job":
      case "nixname":
        // The index at the end tells builds of one case apart.
        return String(value).replace(/-\d+$/, "");
      default:
        return typeof value === "string" ? text(value) : value;
    }
  };
  const table = (rows: readonly Row[]): readonly Row[] =>
    rows
      .map((row) => Object.fromEntries(Object.keys(row).map((column) => [column, cell(row, column)])))
      .sort((a, b) => compareRows(a, b));

  const fields = ({ channel, payload }: Notification): string => {
    const parts = payload.split("\t");
    const first = numbers.get(Number(parts[0])) ?? parts[0];
    switch (channel) {
      case "build_finished":
        return [
          channel,
          first,
          ...parts
            .slice(1)
            .map((id) => String(numbers.get(Number(id)) ?? id))
            .sort(),
        ].join(" ");
      case "step_started":
      case "step_finished":
        return [
          channel,
          first,
          order.get(`${parts[0]}\t${parts[1]}`) ?? parts[1],
          ...parts.slice(2).map(text),
        ].join(" ");
      default:
        return [channel, first].join(" ");
    }
  };
  return {
    rows: {
      Builds: table(outcome.rows.Builds),
      BuildSteps: table(outcome.rows.BuildSteps),
      BuildStepOutputs: table(outcome.rows.BuildStepOutputs),
      BuildOutputs: table(outcome.rows.BuildOutputs),
      BuildProducts: table(outcome.rows.BuildProducts),
      BuildMetrics: table(outcome.rows.BuildMetrics),
      FailedPaths: table(outcome.rows.FailedPaths),
    },
    notifications: sortedRuns(outcome.notifications, fields),
  };
}

function compareRows(a: Row, b: Row): number {
  for (const column of ["id", "build", "stepnr", "productnr", "name", "path"]) {
    const [x, y] = [a[column], b[column]];
    if (x === y || x === undefined || y === undefined || x === null || y === null) continue;
    return x < y ? -1 : 1;
  }
  return 0;
}

const classOf: Readonly<Record<string, string>> = {
  step_started: "start",
  build_started: "start",
  step_finished: "step",
  build_finished: "build",
};

/** Within a run of notifications of one kind the order is chance. */
function sortedRuns(notifications: readonly Notification[], print: (one: Notification) => string): string[] {
  const result: string[] = [];
  let kind: string | undefined;
  let current: string[] = [];
  for (const one of notifications) {
    const next = classOf[one.channel];
    if (next === undefined) continue;
    if (next !== kind) {
      result.push(...current.sort());
      current = [];
      kind = next;
    }
    current.push(print(one));
  }
  return [...result, ...current.sort()];
}
