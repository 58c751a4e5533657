/** What runs next, and why does a step not run? */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { ApiQueue, ApiQueueRow, ApiReason } from "../../../api/types.js";
import { changeQuery, useAddress } from "../data/address.js";
import { getJson } from "../data/request.js";
import { useResource } from "../data/resource.js";
import { countText, plural } from "../data/words.js";
import { type Choice, Filter, TextFilter } from "../widgets/filter.js";
import { BuildLink, Link, paths, StepLink } from "../widgets/link.js";
import { Mark, type Tone } from "../widgets/mark.js";
import { Empty, Loaded } from "../widgets/notice.js";
import { Headline } from "../widgets/panel.js";
import { type Column, Table } from "../widgets/table.js";
import { Ago } from "../widgets/time.js";

/** Reasons as words, in the order of a step's life. */
const reasonWords: Readonly<Record<ApiReason, readonly [words: string, tone: Tone]>> = {
  running: ["running", "busy"],
  nextInLine: ["next in line", "good"],
  machinesBusy: ["machines busy", "wait"],
  waitingForInputs: ["waits for inputs", "none"],
  waitingForDynamicInputs: ["waits for dynamic inputs", "none"],
  gated: ["waits for an upload", "wait"],
  retryLater: ["retry later", "warn"],
  unsupported: ["unsupported", "bad"],
};
const reasons = Object.keys(reasonWords) as readonly ApiReason[];
const filterNames = ["system", "reason", "jobset", "job", "name"] as const;
const pageSize = 200;

const columns: readonly Column<ApiQueueRow>[] = [
  {
    key: "name",
    title: "Step",
    kind: "name",
    phone: "head",
    cell: ({ drv, name }) => <StepLink drv={drv} name={name} />,
  },
  {
    key: "why",
    title: "Why",
    kind: "name",
    cell: ({ reason, why }) => {
      const [words, tone] = reasonWords[reason];
      return (
        <span class="why">
          <Mark tone={tone}>{words}</Mark> <span class="soft">{why}</span>
        </span>
      );
    },
  },
  { key: "system", title: "System", phone: "head", cell: ({ system }) => system },
  {
    key: "job",
    title: "Job",
    kind: "name",
    cell: ({ build, job }) =>
      build === null ? (job ?? "") : <BuildLink id={build}>{job ?? `#${build}`}</BuildLink>,
  },
  {
    key: "jobset",
    title: "Jobset",
    cell: ({ jobset }) => (jobset === null ? "" : <Link to={paths.queue({ jobset })}>{jobset}</Link>),
  },
  { key: "tries", title: "Tries", kind: "number", phone: "hidden", cell: ({ tries }) => tries || "" },
  { key: "dependents", title: "Wanted by", kind: "number", cell: ({ dependents }) => countText(dependents) },
  {
    key: "since",
    title: "Ready for",
    kind: "number",
    cell: ({ since }) => (since === null ? "" : <Ago at={since} suffix="" />),
  },
];

/** The first part of the queue is kept up to date; further ones are fetched when the reader comes near their end. */
function useRows(
  route: string,
  data: ApiQueue,
): { readonly rows: readonly ApiQueueRow[]; readonly more: () => void } {
  const [further, setFurther] = useState<{
    readonly route: string;
    readonly rows: readonly ApiQueueRow[];
    readonly cursor: string | null;
  }>();
  const isAsking = useRef(false);
  const known = further?.route === route ? further : undefined;
  const cursor = known === undefined ? data.cursor : known.cursor;
  const state = useRef({ route, cursor, known });
  state.current = { route, cursor, known };
  const [more] = useState(() => (): void => {
    const asked = state.current;
    if (asked.cursor === null || isAsking.current) return;
    isAsking.current = true;
    getJson<ApiQueue>(`${asked.route}&cursor=${encodeURIComponent(asked.cursor)}`)
      .then(
        (next) => {
          if (state.current.route !== asked.route) return;
          setFurther({
            route: asked.route,
            rows: [...(asked.known?.rows ?? []), ...next.rows],
            cursor: next.cursor,
          });
        },
        // The runner's silence is shown by the first part, which is asked for again.
        () => undefined,
      )
      .finally(() => {
        isAsking.current = false;
      });
  });
  // The queue moves while it is read: a step that is in both parts is shown once.
  const seen = new Set(data.rows.map(({ drv }) => drv));
  const rows = [...data.rows];
  for (const row of known?.rows ?? []) {
    if (seen.has(row.drv)) continue;
    seen.add(row.drv);
    rows.push(row);
  }
  return { rows, more };
}

function Answer({
  data,
  isFiltered,
}: {
  readonly data: ApiQueue;
  readonly isFiltered: boolean;
}): JSX.Element {
  const { total, systems } = data;
  if (isFiltered) return <>{plural(total, "step matches", "steps match")}.</>;
  if (total === 0) return <Mark tone="good">The queue is empty.</Mark>;
  const parts = systems.map(({ system, ready }) => `${countText(ready)} ready for ${system}`);
  return (
    <>
      {plural(total, "step")} to go: {parts.join(", ") || "none is ready"}.
    </>
  );
}

function Content({
  data,
  route,
  query,
}: {
  readonly data: ApiQueue;
  readonly route: string;
  readonly query: URLSearchParams;
}): JSX.Element {
  const { rows, more } = useRows(route, data);
  const system = query.get("system") ?? "";
  const counted = data.systems.filter((one) => system === "" || one.system === system);
  const choices: Choice[] = reasons
    .map((reason) => ({
      value: reason,
      title: reasonWords[reason][0],
      count: counted.reduce((sum, one) => sum + (one.reasons[reason] ?? 0), 0),
    }))
    .filter(({ value, count }) => count > 0 || value === query.get("reason"));
  const isFiltered = filterNames.some((name) => query.has(name));
  return (
    <>
      <Headline title="Queue">
        <Answer data={data} isFiltered={isFiltered} />
      </Headline>
      <div class="panel">
        <Filter
          label="Name of the step"
          text={query.get("name") ?? ""}
          onText={(name) => changeQuery({ name })}
          choices={choices}
          chosen={query.get("reason") ?? ""}
          onChoose={(reason) => changeQuery({ reason })}
        >
          <TextFilter label="Job" text={query.get("job") ?? ""} onText={(job) => changeQuery({ job })} />
          <TextFilter
            label="project:jobset"
            text={query.get("jobset") ?? ""}
            onText={(jobset) => changeQuery({ jobset })}
          />
          <select
            aria-label="System"
            value={system}
            onChange={({ currentTarget }) => changeQuery({ system: currentTarget.value })}
          >
            <option value="">all systems</option>
            {data.systems.map((one) => (
              <option key={one.system} value={one.system}>
                {one.system}
              </option>
            ))}
          </select>
          {isFiltered ? (
            <button
              type="button"
              onClick={() => changeQuery(Object.fromEntries(filterNames.map((name) => [name, ""])))}
            >
              Show all
            </button>
          ) : null}
        </Filter>
        {rows.length === 0 ? (
          <Empty>{isFiltered ? "No step matches." : "Nothing waits."}</Empty>
        ) : (
          <Table
            caption="Steps in the queue"
            columns={columns}
            rows={rows}
            rowKey={({ drv }) => drv}
            total={data.total}
            onNearEnd={more}
          />
        )}
      </div>
    </>
  );
}

/** Steps as the scheduler would start them. */
export function Queue(): JSX.Element {
  const { query } = useAddress();
  const wanted = new URLSearchParams({ limit: String(pageSize) });
  for (const name of filterNames) {
    const value = query.get(name);
    if (value !== null) wanted.set(name, value);
  }
  const route = `queue?${wanted}`;
  const resource = useResource<ApiQueue>(route, ["queue"]);
  useEffect(() => scrollTo(0, 0), [route]);
  return <Loaded resource={resource}>{(data) => <Content data={data} route={route} query={query} />}</Loaded>;
}
