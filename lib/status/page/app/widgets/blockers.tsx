/** What holds something up now. */
import type { JSX } from "preact";
import type { ApiBlocker } from "../../../api/types.js";
import { StepLink } from "./link.js";
import { Mark, stepTones } from "./mark.js";
import { Empty } from "./notice.js";
import { Panel } from "./panel.js";
import { type Column, Table } from "./table.js";
import { Since } from "./time.js";

const columns: readonly Column<ApiBlocker>[] = [
  {
    key: "name",
    title: "Step",
    kind: "name",
    phone: "head",
    cell: ({ drv, name }) => <StepLink drv={drv} name={name} />,
  },
  {
    key: "state",
    title: "State",
    phone: "head",
    cell: ({ state }) => <Mark tone={stepTones[state]}>{state}</Mark>,
  },
  { key: "why", title: "Why", kind: "name", cell: ({ why }) => <span class="soft">{why}</span> },
  {
    key: "for",
    title: "For",
    kind: "number",
    cell: ({ startedAt, usualMs }) => (startedAt === null ? "" : <Since at={startedAt} usual={usualMs} />),
  },
];

/** A table of steps that are waited for. */
export function Blockers({ blockers }: { readonly blockers: readonly ApiBlocker[] }): JSX.Element {
  return (
    <Panel title="Waits for">
      {blockers.length === 0 ? (
        <Empty>Nothing: it is ready or runs.</Empty>
      ) : (
        <Table
          caption="Steps that are waited for"
          columns={columns}
          rows={blockers}
          rowKey={({ drv }) => drv}
        />
      )}
    </Panel>
  );
}
