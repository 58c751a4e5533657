/**
 * What the statements of `lib/database/recording` do, on the simulated tables.
 *
 * The statements themselves run against a real PostgreSQL in the integration tests; here only their effect counts.
 * Each is known by its first words, and one that is not known is an error of this file.
 */
import { type StepRow, stepKey, type Tables } from "./tables.js";

type Row = Readonly<Record<string, unknown>>;
type Values = readonly unknown[];
interface Answer {
  readonly rows: readonly Row[];
  readonly rowCount: number;
}

const numbers = (value: unknown): readonly number[] => value as readonly number[];
const texts = (value: unknown): readonly string[] => value as readonly string[];
const number = (value: unknown, index: number): number | undefined =>
  (value as readonly (number | null)[])[index] ?? undefined;
const word = (value: unknown, index: number): string | undefined =>
  (value as readonly (string | null)[])[index] ?? undefined;
const answer = (rows: readonly Row[]): Answer => ({ rows, rowCount: rows.length });
const nothing: Answer = { rows: [], rowCount: 0 };

function lockBuilds(tables: Tables, [ids]: Values): Answer {
  return answer(
    numbers(ids).flatMap((id) => {
      const row = tables.builds.get(id);
      return row === undefined ? [] : [{ id, finished: row.finished ? 1 : 0, buildstatus: row.status }];
    }),
  );
}

function endBuilds(tables: Tables, [ids, statuses, starts, stops, cached]: Values): Answer {
  let rowCount = 0;
  numbers(ids).forEach((id, i) => {
    const row = tables.builds.get(id);
    if (row === undefined || row.finished) return;
    rowCount++;
    tables.changeBuild(row, {
      finished: true,
      status: number(statuses, i),
      startTime: number(starts, i),
      stopTime: number(stops, i),
      cached: numbers(cached)[i] === 1,
    });
    tables.ended.push(id);
  });
  return { rows: [], rowCount };
}

function insertSteps(tables: Tables, values: Values): Answer {
  const [builds, numbersOf, types, drvs, busy, status, starts, stops, systems, machines, errors] = values;
  const [from, resolved, outputBuilds, outputSteps, outputNames, outputPaths, messages] = values.slice(11);
  const written: StepRow[] = [];
  numbers(builds).forEach((build, i) => {
    const stepnr = numbers(numbersOf)[i] ?? 0;
    if (!tables.builds.has(build) || tables.steps.has(stepKey(build, stepnr))) return;
    const outputs = new Map<string, string | undefined>();
    texts(outputNames).forEach((name, k) => {
      if (numbers(outputBuilds)[k] === build && numbers(outputSteps)[k] === stepnr) {
        outputs.set(name, word(outputPaths, k));
      }
    });
    const row: StepRow = {
      build,
      stepnr,
      type: numbers(types)[i] ?? 0,
      drvPath: texts(drvs)[i] ?? "",
      busy: numbers(busy)[i] ?? 0,
      status: number(status, i),
      startTime: number(starts, i),
      stopTime: number(stops, i),
      system: word(systems, i),
      machine: texts(machines)[i] ?? "",
      error: word(messages, (number(errors, i) ?? 0) - 1),
      propagatedFrom: number(from, i),
      resolvedDrvPath: word(resolved, i),
      outputs,
    };
    tables.insertStep(row);
    written.push(row);
  });
  return answer(written.map(({ build, stepnr }) => ({ build, stepnr })));
}

function classify(tables: Tables, [builds, steps, types, drvs, starts]: Values): Answer {
  return answer(
    numbers(builds).map((build, i) => {
      const stepnr = numbers(steps)[i] ?? 0;
      const row = tables.steps.get(stepKey(build, stepnr));
      const same =
        row?.drvPath === texts(drvs)[i] &&
        row?.type === numbers(types)[i] &&
        row?.startTime === number(starts, i);
      return { build, stepnr, gone: !tables.builds.has(build), same };
    }),
  );
}

function highestNumbers(tables: Tables, [builds]: Values): Answer {
  return answer(
    numbers(builds).map((build) => ({
      build,
      highest: Math.max(0, ...[...tables.steps.values()].map((s) => (s.build === build ? s.stepnr : 0))),
    })),
  );
}

function setBusy(tables: Tables, [builds, steps, busy]: Values): Answer {
  numbers(builds).forEach((build, i) => {
    const row = tables.steps.get(stepKey(build, numbers(steps)[i] ?? 0));
    const value = numbers(busy)[i] ?? 0;
    if (row !== undefined && row.busy !== 0 && row.status === undefined && row.busy < value) {
      tables.changeStep(row, { busy: value });
    }
  });
  return nothing;
}

function endSteps(tables: Tables, values: Values): Answer {
  const [builds, steps, statuses, errors, starts, stops, machines] = values;
  const [outputBuilds, outputSteps, names, paths] = values.slice(8);
  const ended: Row[] = [];
  numbers(builds).forEach((build, i) => {
    const row = tables.steps.get(stepKey(build, numbers(steps)[i] ?? 0));
    if (row === undefined || row.busy === 0) return;
    tables.changeStep(row, {
      busy: 0,
      status: number(statuses, i),
      error: word(errors, i),
      startTime: number(starts, i),
      stopTime: number(stops, i),
      machine: texts(machines)[i] ?? "",
    });
    ended.push({ build, stepnr: row.stepnr });
    texts(names).forEach((name, k) => {
      const isOfRow = numbers(outputBuilds)[k] === build && numbers(outputSteps)[k] === row.stepnr;
      if (isOfRow && row.outputs.has(name)) tables.changeOutput(row, name, word(paths, k));
    });
  });
  return answer(ended);
}

function closeOrphan(tables: Tables, [build, stepnr, status, stopTime]: Values): Answer {
  const row = tables.steps.get(stepKey(Number(build), Number(stepnr)));
  if (row !== undefined && row.busy !== 0) {
    tables.changeStep(row, { busy: 0, status: Number(status), stopTime: Number(stopTime) });
  }
  return nothing;
}

function clearBusy(tables: Tables, [builds, steps]: Values): Answer {
  const keep = new Set(numbers(builds).map((build, i) => stepKey(build, numbers(steps)[i] ?? 0)));
  const open = [...tables.steps.values()].filter(
    (row) => row.busy !== 0 && !keep.has(stepKey(row.build, row.stepnr)),
  );
  for (const row of open) tables.changeStep(row, { busy: 0, status: 3, stopTime: 0 });
  return { rows: [], rowCount: open.length };
}

function busyDerivations(tables: Tables): Answer {
  const busy = [...tables.steps.values()].filter((row) => row.busy !== 0).map((row) => row.drvPath);
  return answer([...new Set(busy)].map((drvpath) => ({ drvpath })));
}

function isOrWasRunning(tables: Tables, [drv, machine]: Values): Answer {
  const found = [...tables.steps.values()].some(
    (row) => row.drvPath === drv && row.machine === machine && (row.busy !== 0 || row.status === 3),
  );
  return answer(found ? [{ found: 1 }] : []);
}

function knownStepOutputs(tables: Tables, [drvs]: Values): Answer {
  const wanted = new Set(texts(drvs));
  return answer(
    [...tables.steps.values()].flatMap((row) =>
      wanted.has(row.drvPath)
        ? [...row.outputs].flatMap(([name, path]) =>
            path === undefined ? [] : [{ drvpath: row.drvPath, name }],
          )
        : [],
    ),
  );
}

function hasStepOf(tables: Tables, [build, drv]: Values): Answer {
  const found = [...tables.steps.values()].some(
    (row) => row.build === build && row.drvPath === drv && (row.busy !== 0 || row.status === 0),
  );
  return answer(found ? [{}] : []);
}

function buildThatFailed(tables: Tables, [except, drv, paths]: Values): Answer {
  const ran = [...tables.steps.values()].filter(
    (row) =>
      row.status === 1 && (row.startTime ?? 0) !== 0 && (row.stopTime ?? 0) !== 0 && row.build !== except,
  );
  const newest = (rows: readonly StepRow[]): number | undefined =>
    rows.length === 0 ? undefined : Math.max(...rows.map((row) => row.build));
  const wanted = new Set(texts(paths));
  const byOutput = (): StepRow[] =>
    ran.filter((row) => [...row.outputs.values()].some((path) => path !== undefined && wanted.has(path)));
  return answer([{ build: newest(ran.filter((row) => row.drvPath === drv)) ?? newest(byOutput()) ?? null }]);
}

function notify(tables: Tables, [channels, payloads]: Values): Answer {
  texts(channels).forEach((channel, i) => {
    const payload = texts(payloads)[i] ?? "";
    // The server drops exact repetitions within a transaction.
    if (!tables.sent.some((one) => one.channel === channel && one.payload === payload)) {
      tables.sent.push({ channel, payload });
    }
  });
  return nothing;
}

function rememberFailed(tables: Tables, [paths]: Values): Answer {
  for (const path of texts(paths)) tables.insertFailedPath(path);
  return nothing;
}

const ignored = (): Answer => nothing;

/** By first words; the first that fits counts. */
const statements: readonly (readonly [string, (tables: Tables, values: Values) => Answer])[] = [
  ["SELECT id, finished, buildstatus FROM builds", lockBuilds],
  ["UPDATE builds b SET finished = 1", endBuilds],
  ["WITH outputs AS (UPDATE buildoutputs", ignored],
  ["INSERT INTO buildproducts", ignored],
  ["INSERT INTO failedpaths", rememberFailed],
  ["SELECT DISTINCT s.drvpath, o.name", knownStepOutputs],
  ["SELECT 1 FROM buildsteps WHERE build = $1 AND drvpath = $2", hasStepOf],
  ["SELECT coalesce((SELECT max(s.build)", buildThatFailed],
  ["SELECT pg_notify", notify],
  ["SELECT i.build, coalesce((SELECT max(stepnr)", highestNumbers],
  ["WITH input AS", insertSteps],
  ["SELECT i.build, i.stepnr, b.id IS NULL AS gone", classify],
  ["UPDATE buildsteps s SET busy = i.busy", setBusy],
  ["WITH ended AS (UPDATE buildsteps", endSteps],
  ["UPDATE buildsteps SET busy = 0, status = $3", closeOrphan],
  ["UPDATE buildsteps s SET busy = 0, status = 3, stoptime = 0", clearBusy],
  ["SELECT DISTINCT drvpath FROM buildsteps WHERE busy <> 0", busyDerivations],
  ["SELECT 1 AS found FROM buildsteps", isOrWasRunning],
];

/** Carries out one statement. */
export function execute(tables: Tables, text: string, values: Values): Answer {
  const found = statements.find(([opening]) => text.startsWith(opening));
  if (found === undefined) throw new Error(`the simulated database does not know: ${text.slice(0, 80)}`);
  return found[1](tables, values);
}
