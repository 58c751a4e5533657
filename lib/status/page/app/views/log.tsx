/** What did a try say? */
import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import type { ApiStep, ApiTry } from "../../../api/types.js";
import { changeQuery, useAddress } from "../data/address.js";
import { useResource } from "../data/resource.js";
import { countText, derivationName, plural } from "../data/words.js";
import { type Jump, LogBox } from "../log/log-box.js";
import { type LogState, logUrl } from "../log/log-stream.js";
import { LogSearch } from "../log/search.js";
import { type ShownLog, useLog } from "../log/use-log.js";
import type { ViewProps } from "../view-props.js";
import { TextFilter } from "../widgets/filter.js";
import { Link, MachineLink, paths, StepLink } from "../widgets/link.js";
import { Mark, ResultMark } from "../widgets/mark.js";
import { Headline } from "../widgets/panel.js";
import { Since } from "../widgets/time.js";

function StateText({ state }: { readonly state: LogState }): JSX.Element {
  switch (state) {
    case "loading":
      return <span class="soft">loading…</span>;
    case "live":
      return <Mark tone="busy">live</Mark>;
    case "finished":
      return <span class="soft">complete</span>;
    case "broken":
      return <Mark tone="bad">connection lost, trying again</Mark>;
    case "missing":
      return <Mark tone="warn">there is no log of this try</Mark>;
  }
}

function Answer({ log, tried }: { readonly log: ShownLog; readonly tried: ApiTry | undefined }): JSX.Element {
  return (
    <>
      {tried === undefined ? null : (
        <>
          <ResultMark status={tried.status} result={tried.result} />
          {tried.machine === null ? null : (
            <>
              {" on "}
              <MachineLink name={tried.machine} />
            </>
          )}
          {tried.startedAt !== null && tried.stoppedAt === null ? (
            <>
              {" for "}
              <Since at={tried.startedAt} />
            </>
          ) : null}
          {" · "}
        </>
      )}
      {plural(log.buffer.count, "line")} · <StateText state={log.state} />
      {log.buffer.isFull ? (
        <span class="warn"> · too long for the page: download it for the rest</span>
      ) : null}
    </>
  );
}

/** Hits of the search so far; searched on as the log grows. */
function useSearch(log: ShownLog, text: string): LogSearch | undefined {
  const { buffer, version } = log;
  const search = useMemo(() => (text === "" ? undefined : new LogSearch(buffer, text)), [buffer, text]);
  const [, redraw] = useState(0);
  useEffect(() => {
    if (search === undefined || search.isComplete) return undefined;
    let frame = requestAnimationFrame(function slice() {
      search.advance();
      redraw((count) => count + 1);
      frame = search.isComplete ? 0 : requestAnimationFrame(slice);
    });
    return () => cancelAnimationFrame(frame);
  }, [search, version]);
  return search;
}

function markedLine(): number {
  return Number(/^#L(\d+)$/.exec(location.hash)?.[1] ?? 0);
}

interface SearchBarProps {
  readonly search: LogSearch | undefined;
  readonly text: string;
  readonly current: number;
  readonly go: (hit: number) => void;
}

function SearchBar({ search, text, current, go }: SearchBarProps): JSX.Element {
  const count = search?.lines.length ?? 0;
  const press = (event: KeyboardEvent): void => {
    if (event.key !== "Enter" || count === 0) return;
    event.preventDefault();
    go((current + (event.shiftKey ? count - 1 : 1)) % count);
  };
  return (
    <search class="log-search" onKeyDown={press}>
      <TextFilter label="Search in the log" text={text} onText={(q) => changeQuery({ q })} />
      <span role="status" class="soft">
        {search === undefined
          ? ""
          : count === 0
            ? search.isComplete
              ? "not found"
              : "searching…"
            : `${current < 0 ? "" : `${countText(current + 1)} of `}${plural(count, "line")}, ${plural(search.hits, "hit")}`}
      </span>
      <button
        type="button"
        disabled={count === 0}
        onClick={() => go((Math.max(0, current) + count - 1) % count)}
      >
        Previous
      </button>
      <button type="button" disabled={count === 0} onClick={() => go((current + 1) % count)}>
        Next
      </button>
    </search>
  );
}

/** Address with the line, for a colleague. */
function remember(line: number): void {
  history.replaceState(null, "", `${location.pathname}${location.search}#L${line}`);
}

/** The log of one try. */
export function Log({ parts: [drv = "", tryNumber = "1"] }: ViewProps): JSX.Element {
  const { query } = useAddress();
  const text = query.get("q") ?? "";
  const step = useResource<ApiStep>(`steps/${encodeURIComponent(drv)}`, ["steps"]);
  const tried = step.data?.tries.find((one) => String(one.try) === tryNumber);
  const isKnown = step.data !== undefined || step.error !== undefined;
  const log = useLog(drv, tryNumber, isKnown ? tried !== undefined && tried.stoppedAt === null : undefined);
  const search = useSearch(log, text);
  const [marked, setMarked] = useState(markedLine);
  const [current, setCurrent] = useState(-1);
  const [jump, setJump] = useState<Jump | undefined>(() => {
    if (markedLine() > 0) return { to: markedLine() };
    return query.has("end") ? { to: "end" } : undefined;
  });
  // A try that runs is followed, unless the address says where to look.
  const isLive = log.state === "live";
  useEffect(() => {
    if (isLive && markedLine() === 0) setJump({ to: "end" });
  }, [isLive]);
  useEffect(() => {
    if (log.state === "finished" && query.has("end") && markedLine() === 0) setJump({ to: "end" });
  }, [log.state]);
  useEffect(() => setCurrent(-1), [text]);
  const mark = (line: number): void => {
    setMarked(line);
    remember(line);
  };
  const go = (hit: number): void => {
    const line = (search?.lines[hit] ?? 0) + 1;
    setCurrent(hit);
    mark(line);
    setJump({ to: line });
  };
  return (
    <>
      <Headline title={`Log of ${step.data?.name ?? derivationName(drv)}, try ${tryNumber}`}>
        <Answer log={log} tried={tried} />
      </Headline>
      <div class="actions">
        <StepLink drv={drv} name="The step" />
        {step.data?.tries
          .filter((one) => one.hasLog && String(one.try) !== tryNumber)
          .map((one) => (
            <Link key={one.try} to={paths.log(drv, one.try)}>
              log of try {one.try}
            </Link>
          ))}
        <a href={logUrl(drv, tryNumber).href} download={`${derivationName(drv)}-${tryNumber}.log`}>
          Download
        </a>
        <button type="button" onClick={() => setJump({ to: 1 })}>
          To the begin
        </button>
        <button type="button" onClick={() => setJump({ to: "end" })}>
          To the end
        </button>
        <span class="spacer" />
        <SearchBar search={search} text={text} current={current} go={go} />
      </div>
      <LogBox log={log} search={text} marked={marked} onMark={mark} jump={jump} />
    </>
  );
}
