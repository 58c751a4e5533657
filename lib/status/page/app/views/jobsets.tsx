/** Who gets what share, who starves? */
import type { JSX } from "preact";
import type { ApiJobsets } from "../../../api/types.js";
import { useResource } from "../data/resource.js";
import { countText, percentText, plural, roughSpan } from "../data/words.js";
import { Link, paths } from "../widgets/link.js";
import { Mark } from "../widgets/mark.js";
import { Meter } from "../widgets/meter.js";
import { Empty, Loaded } from "../widgets/notice.js";
import { Headline, Panel } from "../widgets/panel.js";
import { type Column, Table } from "../widgets/table.js";
import { Ago } from "../widgets/time.js";

type Jobset = ApiJobsets["jobsets"][number];

/** Below this part of what it asked, a jobset with ready steps starves. */
const starvesBelow = 0.5;

function starves({ asked, got, ready }: Jobset): boolean {
  return ready > 0 && got < asked * starvesBelow;
}

const columns: readonly Column<Jobset>[] = [
  {
    key: "jobset",
    title: "Jobset",
    kind: "name",
    phone: "head",
    cell: ({ project, name }) => (
      <Link to={paths.queue({ jobset: `${project}:${name}` })}>{`${project}:${name}`}</Link>
    ),
    sort: ({ project, name }) => `${project}:${name}`,
  },
  {
    key: "shares",
    title: "Shares",
    kind: "number",
    cell: ({ shares }) => countText(shares),
    sort: ({ shares }) => shares,
  },
  {
    key: "asked",
    title: "Asked",
    kind: "number",
    cell: ({ asked }) => percentText(asked * 100),
    sort: ({ asked }) => asked,
  },
  {
    key: "got",
    title: "Got in 24 h",
    phone: "head",
    cell: (jobset) => (
      <Meter value={jobset.got} max={1}>
        {percentText(jobset.got * 100)} {starves(jobset) ? <Mark tone="warn">starves</Mark> : null}
      </Meter>
    ),
    sort: ({ got }) => got,
  },
  {
    key: "used",
    title: "Build time",
    kind: "number",
    cell: ({ usedMs }) => roughSpan(usedMs),
    sort: ({ usedMs }) => usedMs,
  },
  {
    key: "builds",
    title: "Builds",
    kind: "number",
    cell: ({ builds }) => countText(builds),
    sort: ({ builds }) => builds,
  },
  {
    key: "running",
    title: "Running",
    kind: "number",
    cell: ({ running }) => countText(running),
    sort: ({ running }) => running,
  },
  {
    key: "ready",
    title: "Ready",
    kind: "number",
    cell: ({ ready }) => countText(ready),
    sort: ({ ready }) => ready,
  },
  {
    key: "oldest",
    title: "Oldest waits",
    kind: "number",
    cell: ({ oldestSince }) => (oldestSince === null ? "" : <Ago at={oldestSince} suffix="" />),
    sort: ({ oldestSince }) => -(oldestSince ?? Number.MAX_SAFE_INTEGER),
  },
];

function Answer({ jobsets }: { readonly jobsets: readonly Jobset[] }): JSX.Element {
  const hungry = jobsets.filter(starves);
  if (jobsets.length === 0) return <>No jobset has builds in the queue.</>;
  if (hungry.length === 0) return <Mark tone="good">{plural(jobsets.length, "jobset")}; none starves.</Mark>;
  return (
    <>
      <Mark tone="warn">
        {plural(hungry.length, "jobset gets", "jobsets get")} less than half of the share asked:
      </Mark>{" "}
      {hungry.map(({ project, name }) => `${project}:${name}`).join(", ")}.
    </>
  );
}

/** Jobsets with their shares. */
export function Jobsets(): JSX.Element {
  const resource = useResource<ApiJobsets>("jobsets", ["jobsets"]);
  return (
    <Loaded resource={resource}>
      {({ jobsets }) => (
        <>
          <Headline title="Jobsets">
            <Answer jobsets={jobsets} />
          </Headline>
          <Panel title="Shares" note="of the build time of all jobsets">
            {jobsets.length === 0 ? (
              <Empty>The queue is empty.</Empty>
            ) : (
              <Table
                caption="Jobsets"
                columns={columns}
                rows={jobsets}
                rowKey={({ project, name }) => `${project}:${name}`}
                sortName="sort"
              />
            )}
          </Panel>
        </>
      )}
    </Loaded>
  );
}
