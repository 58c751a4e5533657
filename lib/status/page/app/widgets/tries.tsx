/** The tries of a step: where, how they ended, what they cost, and their logs. */
import type { JSX } from "preact";
import type { ApiCost, ApiTry } from "../../../api/types.js";
import { bytesText, spanText } from "../data/words.js";
import { Link, MachineLink, paths } from "./link.js";
import { ResultMark } from "./mark.js";
import { Empty } from "./notice.js";
import { Panel } from "./panel.js";
import { type Column, Table } from "./table.js";
import { At, Since } from "./time.js";

/** `38 min CPU, 3.2 GiB memory, …`; a leading sign where it was measured by samples. */
function costText({
  cpuUserMs,
  cpuSystemMs,
  peakMemory,
  readBytes,
  writtenBytes,
  outputBytes,
  source,
}: ApiCost): string {
  const parts = [
    cpuUserMs === null ? "" : `${spanText(cpuUserMs + (cpuSystemMs ?? 0))} CPU`,
    peakMemory === null ? "" : `${bytesText(peakMemory)} memory`,
    readBytes === null ? "" : `${bytesText(readBytes)} read`,
    writtenBytes === null ? "" : `${bytesText(writtenBytes)} written`,
    outputBytes === null ? "" : `${bytesText(outputBytes)} output`,
  ].filter((part) => part !== "");
  return (source === "samples" ? "about " : "") + parts.join(", ");
}

function columnsFor(drv: string): readonly Column<ApiTry>[] {
  return [
    { key: "try", title: "Try", phone: "head", cell: (one) => `#${one.try}` },
    {
      key: "result",
      title: "Result",
      phone: "head",
      cell: ({ status, result }) => <ResultMark status={status} result={result} />,
    },
    {
      key: "machine",
      title: "Machine",
      cell: ({ machine }) => (machine === null ? "" : <MachineLink name={machine} />),
    },
    {
      key: "began",
      title: "Began",
      kind: "number",
      cell: ({ startedAt }) => (startedAt === null ? "" : <At at={startedAt} />),
    },
    {
      key: "took",
      title: "Took",
      kind: "number",
      cell: ({ startedAt, stoppedAt }) =>
        startedAt === null ? (
          ""
        ) : stoppedAt === null ? (
          <Since at={startedAt} />
        ) : (
          spanText(stoppedAt - startedAt)
        ),
    },
    {
      key: "cost",
      title: "Cost",
      cell: ({ cost }) => (cost === null ? "" : <span class="soft wrap">{costText(cost)}</span>),
    },
    { key: "error", title: "Why", kind: "name", cell: ({ error }) => error ?? "" },
    {
      key: "log",
      title: "Log",
      cell: (one) =>
        one.hasLog ? (
          <Link to={paths.log(drv, one.try)}>log of try {one.try}</Link>
        ) : (
          <span class="soft">none</span>
        ),
    },
  ];
}

/** A table of tries, the last one first. */
export function Tries({
  tries,
  drv,
}: {
  readonly tries: readonly ApiTry[];
  readonly drv: string;
}): JSX.Element {
  return (
    <Panel title="Tries">
      {tries.length === 0 ? (
        <Empty>It has not been started yet.</Empty>
      ) : (
        <Table
          caption="Tries"
          columns={columnsFor(drv)}
          rows={[...tries].sort((a, b) => b.try - a.try)}
          rowKey={(one) => String(one.try)}
        />
      )}
    </Panel>
  );
}
