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

/**
 * Numbers of steps that ran side by side are chance. So a step is known by its derivation and by which try it was;
 * what must hold of the numbers is checked here.
 */
function stepNames(outcome: Outcome, withoutHashes: boolean): Map<string, string> {
  const names = new Map<string, string>();
  const tries = new Map<string, number>();
  const last = new Map<number, Row>();
  const inOrder = [...outcome.rows.BuildSteps].sort((a, b) => Number(a.stepnr) - Number(b.stepnr));
  for (const step of inOrder) {
    const build = Number(step.build);
    const before = last.get(build);
    if (Number(step.stepnr) !== Number(before?.stepnr ?? 0) + 1) {
      throw new Error(`build ${build}: step ${step.stepnr} follows step ${before?.stepnr ?? "none"}`);
    }
    if (step.starttime !== null && Number(step.starttime) < Number(before?.starttime ?? 0)) {
      throw new Error(`build ${build}: step ${step.stepnr} began before the one ahead of it`);
    }
    last.set(build, step);
    const name = `${build} ${String(step.drvpath)}`;
    const nth = (tries.get(name) ?? 0) + 1;
    tries.set(name, nth);
    names.set(
      `${build}\t${step.stepnr}`,
      `${String(step.drvpath).replace(withoutHashes ? /^.*\/.{32}-/ : /^.*\//, "")} ${nth}`,
    );
  }
  return names;
}

export function normalForm(outcome: Outcome, options: NormalFormOptions = {}): NormalForm {
  const cached = new Map(outcome.rows.Builds.map((build) => [Number(build.id), Number(build.iscachedbuild)]));
  const builds =
    options.orderByCached === true
      ? [...outcome.builds].sort((a, b) => (cached.get(a) ?? 0) - (cached.get(b) ?? 0))
      : outcome.builds;
  const numbers = new Map(builds.map((id, index) => [id, index + 1]));
  const steps = stepNames(outcome, options.withoutHashes === true);

  const text = (value: string): string => {
    const path = value.replace(/^\/.*\/build-logs\//, "<logs>/");
    return options.withoutHashes === true
      ? path.replace(/^<logs>\/..\/.{30}-/, "<logs>/<hash>-").replaceAll(/[0-9a-z]{32}-/g, "<hash>-")
      : path;
  };
  const cell = (row: Row, column: string): Row[string] => {
    const value = row[column] ?? null;
    if (timeColumns.has(column)) return time(value);
    if (idColumns.has(column) && typeof value === "number") return numbers.get(value) ?? "another build";
    switch (column) {
      case "jobset_id":
        return "the jobset";
      case "overhead":
        // Getting the inputs takes no time where there are none; only what was uploaded must have taken some.
        return row.status === 0 ? (value === null ? null : "some milliseconds") : "not compared";
      case "machine":
        return value === "" ? "" : "a machine";
      case "stepnr":
        return steps.get(`${row.build}\t${row.stepnr}`) ?? value;
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
          steps.get(`${parts[0]}\t${parts[1]}`) ?? parts[1],
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
    notifications: inAnyOrder(outcome.notifications, fields),
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

/**
 * In which order results of different steps are committed is chance, and a dependant may be announced while the
 * commit of what it needs is under way. What must hold for each step and build is checked here.
 */
function inAnyOrder(notifications: readonly Notification[], print: (one: Notification) => string): string[] {
  const started = new Set<string>();
  const over = new Set<string>();
  for (const { channel, payload } of notifications) {
    const [build = "", step = ""] = payload.split("\t");
    if (over.has(build)) throw new Error(`${channel} ${payload} came after the build was over`);
    if (channel === "step_started") started.add(`${build} ${step}`);
    else if (channel === "step_finished" && !started.has(`${build} ${step}`)) {
      throw new Error(`step ${step} of build ${build} ended before it began`);
    } else if (channel === "build_finished") over.add(build);
  }
  return notifications
    .filter(({ channel }) => /^(build|step)_(started|finished)$/.test(channel))
    .map(print)
    .sort();
}
