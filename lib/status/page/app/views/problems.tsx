/** What went wrong lately? */
import type { JSX } from "preact";
import type { ApiProblem, ApiProblems } from "../../../api/types.js";
import { hrefOf } from "../data/address.js";
import { useResource } from "../data/resource.js";
import { plural, spanText } from "../data/words.js";
import { Mark } from "../widgets/mark.js";
import { Empty, Loaded } from "../widgets/notice.js";
import { Headline, Panel } from "../widgets/panel.js";
import { ProblemText, problemPath } from "../widgets/problem.js";
import { type Column, Table } from "../widgets/table.js";
import { At, Since } from "../widgets/time.js";

const columns: readonly Column<ApiProblem>[] = [
  {
    key: "what",
    title: "Problem",
    kind: "name",
    phone: "head",
    cell: (problem) => <ProblemText problem={problem} />,
  },
  {
    key: "begin",
    title: "Began",
    kind: "number",
    cell: ({ since }) => <At at={since} />,
    sort: ({ since }) => since,
  },
  {
    key: "end",
    title: "Ended",
    kind: "number",
    cell: ({ until }) => (until === null ? "open" : <At at={until} />),
    sort: ({ until }) => until ?? Number.MAX_SAFE_INTEGER,
  },
  {
    key: "lasted",
    title: "Lasted",
    kind: "number",
    cell: ({ since, until }) => (until === null ? <Since at={since} /> : spanText(until - since)),
  },
  {
    key: "more",
    title: "More",
    cell: (problem) => {
      const path = problemPath(problem);
      return path === "/problems" ? "" : <a href={hrefOf(path)}>{path.slice(1)}</a>;
    },
  },
];

/** Open problems first, then those that ended. */
export function Problems(): JSX.Element {
  const resource = useResource<ApiProblems>("problems", ["problems"]);
  return (
    <Loaded resource={resource}>
      {({ problems }) => {
        const open = problems.filter(({ until }) => until === null).length;
        return (
          <>
            <Headline title="Problems">
              {open === 0 ? (
                <Mark tone="good">Nothing is wrong.</Mark>
              ) : (
                <Mark tone="bad">{plural(open, "open problem")}.</Mark>
              )}
            </Headline>
            <Panel title="Problems" note="open ones first">
              {problems.length === 0 ? (
                <Empty>None since the runner was started.</Empty>
              ) : (
                <Table
                  caption="Problems"
                  columns={columns}
                  rows={problems}
                  rowKey={({ code, subject, since }) => `${code} ${subject} ${since}`}
                  sortName="sort"
                />
              )}
            </Panel>
          </>
        );
      }}
    </Loaded>
  );
}
