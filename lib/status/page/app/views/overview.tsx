/** Is the farm well? What moves? */
import type { JSX } from "preact";
import type {
  ApiHistory,
  ApiOverview,
  ApiReason,
  ApiReasonCounts,
  ApiResult,
  ApiRunningStep,
  ApiSystem,
} from "../../../api/types.js";
import { useResource } from "../data/resource.js";
import { countText, derivationName, plural, roughSpan, spanText } from "../data/words.js";
import { Chart } from "../widgets/chart.js";
import { BuildLink, Link, MachineLink, paths, StepLink } from "../widgets/link.js";
import { Mark, ResultMark } from "../widgets/mark.js";
import { Meter } from "../widgets/meter.js";
import { Empty, Loaded } from "../widgets/notice.js";
import { Headline, Panel } from "../widgets/panel.js";
import { problemPath } from "../widgets/problem.js";
import { type Column, Table } from "../widgets/table.js";
import { Ago, Since } from "../widgets/time.js";

/** The first line: how it is, in one sentence. */
function Answer({ overview }: { readonly overview: ApiOverview }): JSX.Element {
  const { counts, problems, leftMs, state } = overview;
  const [worst] = problems;
  const left = leftMs === null || counts.steps === 0 ? "" : `, about ${roughSpan(leftMs)}`;
  const work =
    counts.steps === 0
      ? `nothing to do, ${plural(counts.slots, "slot")} free.`
      : `${countText(counts.slotsUsed)} of ${plural(counts.slots, "slot")} busy, ${plural(counts.steps, "step")} to go${left}.`;
  if (worst !== undefined) {
    return (
      <>
        <Mark tone="bad">Trouble:</Mark>{" "}
        <Link to={problemPath(worst)}>
          {worst.subject === "" ? worst.part : `${worst.part} ${worst.subject}`}
        </Link>{" "}
        {worst.reason}. Otherwise {work}
      </>
    );
  }
  if (state === "standby") return <Mark tone="wait">In standby: another runner does the work.</Mark>;
  const isStuck = counts.steps > 0 && counts.slots === 0;
  return (
    <>
      {isStuck ? <Mark tone="bad">No machine has joined:</Mark> : <Mark tone="good">All well:</Mark>} {work}
    </>
  );
}

function Figure({
  title,
  value,
  to,
}: {
  readonly title: string;
  readonly value: string;
  readonly to: string;
}): JSX.Element {
  return (
    <Link to={to} class="figure">
      <span class="soft">{title}</span> <strong>{value}</strong>
    </Link>
  );
}

function Figures({ overview }: { readonly overview: ApiOverview }): JSX.Element {
  const { counts, uploads } = overview;
  return (
    <div class="figures">
      <Figure title="running" value={countText(counts.running)} to="/queue?reason=running" />
      <Figure title="ready" value={countText(counts.ready)} to="/queue?reason=machinesBusy" />
      <Figure title="waiting" value={countText(counts.waiting)} to="/queue?reason=waitingForInputs" />
      <Figure title="builds" value={countText(counts.builds)} to="/queue" />
      <Figure title="machines" value={countText(counts.machines)} to="/machines" />
      <Figure title="done/h" value={countText(counts.donePerHour)} to="/timeline" />
      <Figure title="failed/h" value={countText(counts.failedPerHour)} to="/timeline" />
      <Figure title="uploads" value={countText(uploads.waiting)} to="/uploads" />
    </div>
  );
}

/** Points of the history put together, as many as a small chart can show. */
function Charts({ history }: { readonly history: ApiHistory }): JSX.Element {
  const { points, intervalMs } = history;
  const size = Math.max(1, Math.ceil(points.length / 90));
  const groups = Array.from({ length: Math.ceil(points.length / size) }, (_, index) =>
    points.slice(index * size, (index + 1) * size),
  );
  const sum = (pick: (point: ApiHistory["points"][number]) => number): number[] =>
    groups.map((group) => group.reduce((total, point) => total + pick(point), 0));
  const waits = groups.map((group) => {
    const known = group.flatMap(({ waitMs }) => (waitMs === null ? [] : [waitMs]));
    return known.length === 0 ? null : known.reduce((total, wait) => total + wait, 0) / known.length;
  });
  const span = `last ${roughSpan(points.length * intervalMs)}`;
  const each = roughSpan(size * intervalMs);
  const count = (value: number): string => `${countText(value)} in ${each}`;
  return (
    <div class="charts">
      <Chart
        span={span}
        series={{ name: "Steps done", values: sum(({ done }) => done), tone: "busy", text: count }}
      />
      <Chart
        span={span}
        series={{ name: "Failed", values: sum(({ failed }) => failed), tone: "bad", text: count }}
      />
      <Chart
        span={span}
        series={{ name: "Waited for a machine", values: waits, tone: "wait", text: roughSpan }}
      />
    </div>
  );
}

/** A number of steps that links to them. */
function Count({
  system,
  reason,
  counts,
}: {
  readonly system: string;
  readonly reason: ApiReason;
  readonly counts: ApiReasonCounts;
}): JSX.Element {
  const value = counts[reason] ?? 0;
  if (value === 0) return <span class="soft">0</span>;
  return <Link to={paths.queue({ system, reason })}>{countText(value)}</Link>;
}

const systemColumns: readonly Column<ApiSystem>[] = [
  {
    key: "system",
    title: "System",
    kind: "text",
    phone: "head",
    cell: ({ system }) => <Link to={paths.queue({ system })}>{system}</Link>,
  },
  {
    key: "slots",
    title: "Slots",
    kind: "text",
    phone: "head",
    cell: ({ slotsUsed, slots }) => (
      <Meter value={slotsUsed} max={slots}>
        {slotsUsed}/{slots}
      </Meter>
    ),
  },
  { key: "ready", title: "Ready", kind: "number", cell: ({ ready }) => countText(ready) },
  ...(
    [
      ["waitingForInputs", "Inputs"],
      ["machinesBusy", "Busy"],
      ["unsupported", "Unsupported"],
      ["retryLater", "Retry"],
    ] as const
  ).map(
    ([reason, title]): Column<ApiSystem> => ({
      key: reason,
      title,
      kind: "number",
      cell: ({ system, reasons }) => <Count system={system} reason={reason} counts={reasons} />,
    }),
  ),
  {
    key: "oldest",
    title: "Oldest ready",
    kind: "name",
    cell: ({ oldest }) =>
      oldest === null ? (
        <span class="soft">none</span>
      ) : (
        <span class="prose">
          <StepLink drv={oldest.drv} name={oldest.name} /> · <Ago at={oldest.since} suffix="" /> ·{" "}
          <span class="soft">{oldest.why}</span>
        </span>
      ),
  },
];

const runningColumns: readonly Column<ApiRunningStep>[] = [
  {
    key: "name",
    title: "Step",
    kind: "name",
    phone: "head",
    cell: ({ drv, name }) => <StepLink drv={drv} name={name} />,
  },
  { key: "machine", title: "Machine", cell: ({ machine }) => <MachineLink name={machine} /> },
  { key: "phase", title: "Phase", phone: "head", cell: ({ phase }) => <span class="soft">{phase}</span> },
  {
    key: "since",
    title: "For",
    kind: "number",
    cell: ({ startedAt, usualMs }) => (
      <>
        <Since at={startedAt} usual={usualMs} />
      </>
    ),
  },
  { key: "log", title: "Log", cell: (step) => <Link to={paths.log(step.drv, step.try)}>log</Link> },
];

const resultColumns: readonly Column<ApiResult>[] = [
  {
    key: "job",
    title: "Job",
    kind: "name",
    phone: "head",
    // Jobs of builds that were asked for by hand are all named alike.
    cell: ({ build, job, project, jobset, drv }) => (
      <>
        <BuildLink id={build}>{job}</BuildLink>
        <div class="soft">{`${project}:${jobset} · ${derivationName(drv)}`}</div>
      </>
    ),
  },
  {
    key: "result",
    title: "Result",
    phone: "head",
    kind: "name",
    cell: ({ status, result, cached, error }) => (
      <>
        <ResultMark status={status} result={cached ? `${result}, cached` : result} />
        {error === null ? null : <span class="soft clip">{error}</span>}
      </>
    ),
  },
  {
    key: "machine",
    title: "Machine",
    cell: ({ machine }) => (machine === null ? "" : <MachineLink name={machine} />),
  },
  {
    key: "took",
    title: "Took",
    kind: "number",
    cell: ({ cached, durationMs }) => (cached ? "" : spanText(durationMs)),
  },
  { key: "ended", title: "Ended", kind: "number", cell: ({ finishedAt }) => <Ago at={finishedAt} /> },
];

function Content({ overview }: { readonly overview: ApiOverview }): JSX.Element {
  const { systems, runningNow, results, counts, skipped } = overview;
  return (
    <>
      <Headline title={overview.farmName ?? "Overview"}>
        <Answer overview={overview} />
      </Headline>
      <div class="panel strip">
        <Figures overview={overview} />
        <Charts history={overview.history} />
      </div>
      <Panel title="By system" note="steps that wait, by reason">
        {systems.length === 0 ? (
          <Empty>Nothing waits, and no machine has joined.</Empty>
        ) : (
          <Table
            caption="Queue by system"
            columns={systemColumns}
            rows={systems}
            rowKey={({ system }) => system}
          />
        )}
      </Panel>
      <div class="columns">
        <Panel title="Running now" note="longest over its usual time first">
          {runningNow.length === 0 ? (
            <Empty>Nothing runs.</Empty>
          ) : (
            <Table
              caption="Steps that run"
              columns={runningColumns}
              rows={runningNow}
              rowKey={(step) => `${step.drv} ${step.try}`}
            />
          )}
          {counts.running > runningNow.length ? (
            <p class="more">
              <Link to="/queue?reason=running">all {countText(counts.running)} running steps</Link>
            </p>
          ) : null}
        </Panel>
        <Panel title="Last results" note="failures first for a minute">
          {results.length === 0 ? (
            <Empty>No build has ended yet.</Empty>
          ) : (
            <Table
              caption="Builds that ended"
              columns={resultColumns}
              rows={results}
              rowKey={({ build }) => String(build)}
            />
          )}
        </Panel>
      </div>
      {skipped.length === 0 ? null : (
        <Panel title="Builds left out" note="their rows could not be read">
          <ul class="plain">
            {skipped.map(({ build, reason, since }) => (
              <li key={build}>
                <BuildLink id={build} /> {reason} <span class="soft">since </span>
                <Ago at={since} suffix="" />
              </li>
            ))}
          </ul>
        </Panel>
      )}
    </>
  );
}

/** The view at the page's root. */
export function Overview(): JSX.Element {
  const resource = useResource<ApiOverview>("overview", ["overview"]);
  return <Loaded resource={resource}>{(overview) => <Content overview={overview} />}</Loaded>;
}
