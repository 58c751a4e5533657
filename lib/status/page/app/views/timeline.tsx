/** Where were slots empty or wasted? */
import type { JSX } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { ApiAttempt, ApiTimeline } from "../../../api/types.js";
import { changeQuery, hrefOf, navigate, useAddress } from "../data/address.js";
import { type MachineLanes, timelineLanes } from "../data/lanes.js";
import { useResource } from "../data/resource.js";
import type { Span } from "../data/span.js";
import { type SpanControl, useSpan } from "../data/use-span.js";
import { clockText, percentText, plural, roughSpan, spanText } from "../data/words.js";
import { BuildLink, MachineLink, paths, StepLink } from "../widgets/link.js";
import { Mark, ResultMark } from "../widgets/mark.js";
import { Empty, Loaded } from "../widgets/notice.js";
import { Headline, Panel } from "../widgets/panel.js";
import { type Column, Table } from "../widgets/table.js";
import { At } from "../widgets/time.js";

const minute = 60_000;
const windows = [
  [15, "15 min"],
  [60, "1 h"],
  [180, "3 h"],
  [720, "12 h"],
  [1440, "24 h"],
] as const;
const usualWindow = 60;
const laneHeight = 9;
const width = 1000;
/** Lanes of one machine that are drawn; the table has the rest. */
const mostLanes = 32;

function toneOf({ status }: ApiAttempt): string {
  if (status === null) return "busy";
  return status === 0 ? "good" : status === 3 || status === 4 ? "warn" : "bad";
}

/** Bars of one tone as one shape: a window has thousands. */
function shapeOf(machine: MachineLanes, tone: string, timeline: ApiTimeline): string {
  const { from, to, now } = timeline;
  const scale = width / Math.max(1, to - from);
  return machine.bars
    .filter(({ attempt, lane }) => lane < mostLanes && toneOf(attempt) === tone)
    .map(({ attempt, lane }) => {
      const begin = Math.max(0, (attempt.startedAt - from) * scale);
      const end = Math.min(width, ((attempt.stoppedAt ?? now) - from) * scale);
      const long = Math.max(1, end - begin - 0.6);
      return `M${begin.toFixed(1)} ${lane * laneHeight + 1}h${long.toFixed(1)}v${laneHeight - 2}h${(-long).toFixed(1)}z`;
    })
    .join("");
}

function attemptAt(
  event: MouseEvent & { currentTarget: HTMLElement },
  machine: MachineLanes,
  timeline: ApiTimeline,
  shown: Span,
): ApiAttempt | undefined {
  const box = event.currentTarget.getBoundingClientRect();
  const time = shown.from + ((event.clientX - box.left) / box.width) * (shown.to - shown.from);
  const lane = Math.floor((event.clientY - box.top) / laneHeight);
  return machine.bars.find(
    ({ attempt, lane: own }) =>
      own === lane && attempt.startedAt <= time && (attempt.stoppedAt ?? timeline.now) >= time,
  )?.attempt;
}

function describe(attempt: ApiAttempt, now: number): string {
  const { name, job, machine, result, startedAt, stoppedAt } = attempt;
  return `${name}${job === null ? "" : ` (${job})`} on ${machine}: ${result}, ${spanText((stoppedAt ?? now) - startedAt)} from ${clockText(startedAt, now)}`;
}

function MachineRow({
  machine,
  timeline,
  shown,
}: {
  readonly machine: MachineLanes;
  readonly timeline: ApiTimeline;
  readonly shown: Span;
}): JSX.Element {
  const shapes = useMemo(
    () => ["good", "busy", "warn", "bad"].map((tone) => [tone, shapeOf(machine, tone, timeline)] as const),
    [machine, timeline],
  );
  // Bars stay as they are drawn while the span changes: only the part of them that is seen does.
  const scale = width / Math.max(1, timeline.to - timeline.from);
  const left = ((shown.from - timeline.from) * scale).toFixed(3);
  const seen = Math.max(0.001, (shown.to - shown.from) * scale).toFixed(3);
  const height = Math.min(mostLanes, machine.lanes) * laneHeight;
  const summary = `${percentText(machine.used * 100)} used, ${plural(machine.bars.length, "attempt")}`;
  return (
    <li class="lane-row">
      <span class="lane-name">
        <MachineLink name={machine.name} /> <span class="soft">{percentText(machine.used * 100)}</span>
      </span>
      <a
        class="lane-link"
        href={hrefOf(paths.machine(machine.name))}
        tabIndex={-1}
        draggable={false}
        onClick={(event) => {
          const attempt = attemptAt(event, machine, timeline, shown);
          if (attempt === undefined) return;
          event.preventDefault();
          navigate(paths.step(attempt.drv));
        }}
        onMouseMove={(event) => {
          const attempt = attemptAt(event, machine, timeline, shown);
          event.currentTarget.title = attempt === undefined ? summary : describe(attempt, timeline.now);
        }}
      >
        {/* The table below has the same, with links. */}
        <svg
          viewBox={`${left} 0 ${seen} ${height}`}
          height={height}
          preserveAspectRatio="none"
          role="img"
          aria-label={`${machine.name}: ${summary}`}
        >
          {shapes.map(([tone, shape]) => (
            <path key={tone} class={`fill-${tone}`} d={shape} />
          ))}
        </svg>
      </a>
    </li>
  );
}

function Scale({ shown: { from, to }, now }: { readonly shown: Span; readonly now: number }): JSX.Element {
  return (
    <div class="lane-row lane-scale" aria-hidden="true">
      <span class="lane-name" />
      <span class="ticks">
        {[0, 0.25, 0.5, 0.75, 1].map((part) => (
          <span key={part}>{clockText(from + part * (to - from), now)}</span>
        ))}
      </span>
    </div>
  );
}

const columns: readonly Column<ApiAttempt>[] = [
  {
    key: "name",
    title: "Step",
    kind: "name",
    phone: "head",
    cell: ({ drv, name }) => <StepLink drv={drv} name={name} />,
    sort: ({ name }) => name,
  },
  {
    key: "result",
    title: "Result",
    phone: "head",
    cell: ({ status, result }) => <ResultMark status={status} result={result} />,
    sort: ({ result }) => result,
  },
  {
    key: "job",
    title: "Build",
    kind: "name",
    cell: ({ build, job }) => (build === null ? "" : <BuildLink id={build}>{job ?? `#${build}`}</BuildLink>),
  },
  {
    key: "machine",
    title: "Machine",
    cell: ({ machine }) => <MachineLink name={machine} />,
    sort: ({ machine }) => machine,
  },
  {
    key: "began",
    title: "Began",
    kind: "number",
    cell: ({ startedAt }) => <At at={startedAt} />,
    sort: ({ startedAt }) => startedAt,
  },
  {
    key: "took",
    title: "Took",
    kind: "number",
    cell: ({ startedAt, stoppedAt }) => (stoppedAt === null ? "" : spanText(stoppedAt - startedAt)),
    sort: ({ startedAt, stoppedAt }) => (stoppedAt ?? startedAt) - startedAt,
  },
];

function Answer({
  timeline,
  lanes,
}: {
  readonly timeline: ApiTimeline;
  readonly lanes: readonly MachineLanes[];
}): JSX.Element {
  const sizes = new Map(timeline.machines.map((machine) => [machine.name, machine.slots]));
  // Of the machines that are shown.
  const slots = lanes.reduce((sum, lane) => sum + (sizes.get(lane.name) ?? 1), 0);
  const busy = lanes.reduce((sum, lane) => sum + lane.used * (sizes.get(lane.name) ?? 1), 0);
  const [worst] = [...lanes].sort((a, b) => b.longestGap - a.longestGap);
  if (lanes.length === 0 || slots === 0) return <Mark tone="wait">No machine in this window.</Mark>;
  return (
    <>
      {percentText((busy / slots) * 100)} of {plural(slots, "slot")} used.
      {worst === undefined || worst.longestGap < minute ? null : (
        <>
          {" "}
          Longest gap: {roughSpan(worst.longestGap)} on <MachineLink name={worst.name} />.
        </>
      )}
    </>
  );
}

/** Pixels that a press moves before it is a drag and not a click. */
const dragPixels = 4;

/** Wheel with Ctrl (a pinch on a touchpad) zooms at the pointer, drag moves. */
function useZoomGestures(control: SpanControl): (element: HTMLElement | null) => void {
  const present = useRef(control);
  present.current = control;
  const end = useRef<() => void>();
  useEffect(() => () => end.current?.(), []);
  return useMemo(
    () => (element) => {
      end.current?.();
      end.current = element === null ? undefined : followPointer(element, () => present.current);
    },
    [],
  );
}

function followPointer(element: HTMLElement, control: () => SpanControl): () => void {
  const ending = new AbortController();
  const { signal } = ending;
  const area = (): DOMRect => (element.querySelector("svg") ?? element).getBoundingClientRect();
  const wheel = (event: WheelEvent): void => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const { left, width: wide } = area();
    const at = Math.min(1, Math.max(0, (event.clientX - left) / Math.max(1, wide)));
    control().zoom(Math.exp(Math.max(-100, Math.min(100, event.deltaY)) / 200), at);
  };
  let last: number | undefined;
  let isDrag = false;
  const down = (event: PointerEvent): void => {
    isDrag = false;
    last = event.button === 0 && event.pointerType !== "touch" ? event.clientX : undefined;
  };
  const move = (event: PointerEvent): void => {
    if (last === undefined) return;
    const by = event.clientX - last;
    if (!isDrag && Math.abs(by) < dragPixels) return;
    isDrag = true;
    last = event.clientX;
    control().move(-by / Math.max(1, area().width));
  };
  const up = (): void => {
    last = undefined;
  };
  const click = (event: MouseEvent): void => {
    if (!isDrag) return;
    event.preventDefault();
    event.stopPropagation();
  };
  element.addEventListener("wheel", wheel, { signal, passive: false });
  element.addEventListener("pointerdown", down, { signal });
  addEventListener("pointermove", move, { signal });
  addEventListener("pointerup", up, { signal });
  element.addEventListener("click", click, { signal, capture: true });
  return () => ending.abort();
}

function Content({
  timeline,
  machine,
  control,
}: {
  readonly timeline: ApiTimeline;
  readonly machine: string;
  readonly control: SpanControl;
}): JSX.Element {
  const gestures = useZoomGestures(control);
  const { shown } = control;
  const lanes = useMemo(() => {
    const all = timelineLanes(timeline);
    return machine === "" ? all : all.filter(({ name }) => name === machine);
  }, [timeline, machine]);
  const attempts =
    machine === "" ? timeline.attempts : timeline.attempts.filter((one) => one.machine === machine);
  return (
    <>
      <Headline title="Timeline">
        <Answer timeline={timeline} lanes={lanes} />
      </Headline>
      <Toolbar control={control} machine={machine} />
      <Panel
        title="What ran where"
        note="a line for each slot; green succeeded, blue runs, red failed, yellow aborted; + and −, or Ctrl and the wheel, zoom; drag to move"
      >
        {lanes.length === 0 ? (
          <Empty>Nothing ran.</Empty>
        ) : (
          <>
            <Scale shown={shown} now={timeline.now} />
            <ul class="lanes" ref={gestures}>
              {lanes.map((lane) => (
                <MachineRow key={lane.name} machine={lane} timeline={timeline} shown={shown} />
              ))}
            </ul>
          </>
        )}
      </Panel>
      <Panel
        title="Attempts"
        note={
          timeline.truncated
            ? "the newest; there are more in this window"
            : plural(attempts.length, "attempt")
        }
      >
        {attempts.length === 0 ? (
          <Empty>None.</Empty>
        ) : (
          <Table
            caption="Attempts"
            columns={columns}
            rows={attempts}
            rowKey={(one) => `${one.drv} ${one.try} ${one.machine} ${one.startedAt}`}
            sortName="sort"
          />
        )}
      </Panel>
    </>
  );
}

/** Lengths to choose from, zoom, earlier and later. */
function Toolbar({
  control,
  machine,
}: {
  readonly control: SpanControl;
  readonly machine: string;
}): JSX.Element {
  const { query } = useAddress();
  const { shown, zoom, move } = control;
  const minutes = Math.round((shown.to - shown.from) / 600) / 100;
  return (
    <div class="filters">
      {windows.map(([value, title]) => (
        <button
          key={value}
          type="button"
          class="choice"
          aria-pressed={value === minutes}
          onClick={() => changeQuery({ minutes: String(value) })}
        >
          {title}
        </button>
      ))}
      <button type="button" onClick={() => zoom(0.5)} aria-label="Zoom in">
        +
      </button>
      <button type="button" onClick={() => zoom(2)} aria-label="Zoom out">
        −
      </button>
      <span class="soft" role="status">
        {roughSpan(shown.to - shown.from)}
      </span>
      <button type="button" onClick={() => move(-0.5)}>
        ← Earlier
      </button>
      <button type="button" disabled={!query.has("to")} onClick={() => move(0.5)}>
        Later →
      </button>
      {machine === "" ? null : (
        <button type="button" onClick={() => changeQuery({ machine: "" })}>
          All machines
        </button>
      )}
    </div>
  );
}

/** Attempts of a window. */
export function Timeline(): JSX.Element {
  const { query } = useAddress();
  const build = query.get("build");
  const control = useSpan(usualWindow);
  const { from, to } = control.settled;
  const wanted = new URLSearchParams({ from: String(Math.round(from)), to: String(Math.round(to)) });
  if (build !== null) wanted.set("build", build);
  const resource = useResource<ApiTimeline>(`timeline?${wanted}`, ["overview"]);
  return (
    <Loaded resource={resource}>
      {(timeline) => <Content timeline={timeline} machine={query.get("machine") ?? ""} control={control} />}
    </Loaded>
  );
}
