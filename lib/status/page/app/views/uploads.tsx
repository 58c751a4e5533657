/** Is the cache behind? */
import type { JSX } from "preact";
import type { ApiUploads } from "../../../api/types.js";
import { useResource } from "../data/resource.js";
import { bytesText, countText, plural, roughSpan } from "../data/words.js";
import { Action } from "../widgets/action.js";
import { Mark } from "../widgets/mark.js";
import { Empty, Loaded } from "../widgets/notice.js";
import { Headline, Panel } from "../widgets/panel.js";
import { type Column, Table } from "../widgets/table.js";
import { Ago, Since } from "../widgets/time.js";

type Cache = ApiUploads["caches"][number];
type Path = ApiUploads["paths"][number];

const cacheColumns: readonly Column<Cache>[] = [
  { key: "name", title: "Cache", kind: "name", phone: "head", cell: ({ name }) => name },
  {
    key: "state",
    title: "State",
    kind: "name",
    phone: "head",
    cell: ({ failingSince, error }) =>
      failingSince === null ? (
        <Mark tone="good">works</Mark>
      ) : (
        <>
          <Mark tone="bad">fails</Mark> for <Since at={failingSince} />: {error ?? "reason not known"}
        </>
      ),
  },
  { key: "puts", title: "Objects", kind: "number", cell: ({ puts }) => countText(puts) },
  { key: "bytes", title: "Sent", kind: "number", cell: ({ putBytes }) => bytesText(putBytes) },
  {
    key: "rate",
    title: "Rate",
    kind: "number",
    cell: ({ bytesPerSecond }) =>
      bytesPerSecond === null ? "not measured" : `${bytesText(bytesPerSecond)}/s`,
  },
];

const pathColumns: readonly Column<Path>[] = [
  {
    key: "path",
    title: "Store path",
    kind: "name",
    phone: "head",
    cell: ({ path }) => <span class="mono">{path}</span>,
  },
  {
    key: "since",
    title: "Waits",
    kind: "number",
    cell: ({ since }) => <Ago at={since} suffix="" />,
  },
];

function Answer({ uploads }: { readonly uploads: ApiUploads }): JSX.Element {
  const { waiting, failingSince, oldestSince, now } = uploads;
  const oldest = oldestSince === null ? "" : `, the oldest for ${roughSpan(now - oldestSince)}`;
  if (failingSince !== null) {
    return (
      <>
        <Mark tone="bad">Uploads fail for {roughSpan(now - failingSince)}:</Mark> {countText(waiting)} wait
        {oldest}.
      </>
    );
  }
  if (waiting === 0) return <Mark tone="good">Nothing waits: the cache has everything.</Mark>;
  return (
    <>
      {plural(waiting, "upload waits", "uploads wait")}
      {oldest}.
    </>
  );
}

function Content({ uploads }: { readonly uploads: ApiUploads }): JSX.Element {
  const { caches, paths, waiting, failingSince } = uploads;
  return (
    <>
      <Headline title="Uploads">
        <Answer uploads={uploads} />
      </Headline>
      {failingSince === null ? null : (
        <div class="actions">
          <Action title="Try again now" path="/api/uploads/retry">
            What waits for its next try is sent at once.
          </Action>
        </div>
      )}
      <Panel title="Caches">
        {caches.length === 0 ? (
          <Empty>No binary cache is configured.</Empty>
        ) : (
          <Table caption="Caches" columns={cacheColumns} rows={caches} rowKey={({ name }) => name} />
        )}
      </Panel>
      <Panel
        title="Waiting"
        note={waiting > paths.length ? `the first ${paths.length} of ${countText(waiting)}` : ""}
      >
        {paths.length === 0 ? (
          <Empty>Nothing.</Empty>
        ) : (
          <Table caption="Paths that wait" columns={pathColumns} rows={paths} rowKey={({ path }) => path} />
        )}
      </Panel>
    </>
  );
}

/** What waits to be uploaded. */
export function Uploads(): JSX.Element {
  const resource = useResource<ApiUploads>("uploads", ["uploads"]);
  return <Loaded resource={resource}>{(uploads) => <Content uploads={uploads} />}</Loaded>;
}
