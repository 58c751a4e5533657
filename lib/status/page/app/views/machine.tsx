/** What does a machine do, what did it do, why does it take nothing? */
import type { ComponentChildren, JSX } from "preact";
import type { ApiAttempt, ApiMachineDetail, ApiRunningStep } from "../../../api/types.js";
import { useResource } from "../data/resource.js";
import { bytesText, countText, percentText, plural, roughSpan, spanText } from "../data/words.js";
import type { ViewProps } from "../view-props.js";
import { Action } from "../widgets/action.js";
import { Facts } from "../widgets/facts.js";
import { BuildLink, Link, paths, StepLink } from "../widgets/link.js";
import { ResultMark } from "../widgets/mark.js";
import { Meter } from "../widgets/meter.js";
import { Empty, Loaded } from "../widgets/notice.js";
import { Headline, Panel } from "../widgets/panel.js";
import { type Column, Table } from "../widgets/table.js";
import { Ago, Since } from "../widgets/time.js";
import { MachineState } from "./machines.js";

const runningColumns: readonly Column<ApiRunningStep>[] = [
  {
    key: "name",
    title: "Step",
    kind: "name",
    phone: "head",
    cell: ({ drv, name }) => <StepLink drv={drv} name={name} />,
  },
  { key: "build", title: "Build", cell: ({ build }) => (build === null ? "" : <BuildLink id={build} />) },
  { key: "phase", title: "Phase", phone: "head", cell: ({ phase }) => phase },
  { key: "try", title: "Try", kind: "number", cell: (step) => step.try },
  {
    key: "for",
    title: "For",
    kind: "number",
    cell: ({ startedAt, usualMs }) => <Since at={startedAt} usual={usualMs} />,
  },
  { key: "log", title: "Log", cell: (step) => <Link to={paths.log(step.drv, step.try)}>log</Link> },
];

const historyColumns: readonly Column<ApiAttempt>[] = [
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
  { key: "build", title: "Build", cell: ({ build }) => (build === null ? "" : <BuildLink id={build} />) },
  {
    key: "took",
    title: "Took",
    kind: "number",
    cell: ({ startedAt, stoppedAt }) => (stoppedAt === null ? "" : spanText(stoppedAt - startedAt)),
    sort: ({ startedAt, stoppedAt }) => (stoppedAt ?? startedAt) - startedAt,
  },
  {
    key: "ended",
    title: "Ended",
    kind: "number",
    cell: ({ stoppedAt }) => (stoppedAt === null ? "" : <Ago at={stoppedAt} />),
    sort: ({ stoppedAt }) => stoppedAt ?? 0,
  },
  { key: "log", title: "Log", cell: (attempt) => <Link to={paths.log(attempt.drv, attempt.try)}>log</Link> },
];

function pressureText(value: number | null): ComponentChildren {
  return value === null ? <span class="soft">not reported</span> : percentText(value);
}

function Condition({ machine }: { readonly machine: ApiMachineDetail }): JSX.Element {
  const { load1, load5, load15, cpuCount, memoryUsed, memoryTotal, storeFree, buildDirFree } = machine;
  const free = (value: number | null): string =>
    value === null ? "not reported" : `${percentText(value)} free`;
  return (
    <Facts
      facts={[
        [
          "Slots",
          <Meter value={machine.jobs} max={machine.slots}>
            {machine.jobs} of {machine.slots}
          </Meter>,
        ],
        [
          "Load",
          `${[load1, load5, load15].map((load) => load.toFixed(1)).join(" · ")} (${plural(cpuCount, "core")})`,
        ],
        [
          "Memory",
          <Meter value={memoryUsed} max={memoryTotal} warnAt={0.92}>
            {bytesText(memoryUsed)} of {bytesText(memoryTotal)}
          </Meter>,
        ],
        ["Pressure, CPU", pressureText(machine.cpuPressure)],
        ["Pressure, memory", pressureText(machine.memoryPressure)],
        ["Pressure, I/O", pressureText(machine.ioPressure)],
        ["Store", free(storeFree)],
        ["Build folder", free(buildDirFree)],
        ...machine.limits.map(
          ({ what, value, limit }) =>
            [`Limit: ${what}`, `${value === null ? "?" : value.toFixed(1)} of ${countText(limit)}`] as const,
        ),
      ]}
    />
  );
}

function Identity({ machine }: { readonly machine: ApiMachineDetail }): JSX.Element {
  const { systems, features, mandatoryFeatures } = machine;
  return (
    <Facts
      facts={[
        [
          "Takes steps of",
          systems.map((system, index) => (
            <span key={system}>
              {index > 0 ? ", " : ""}
              <Link to={paths.queue({ system })}>{system}</Link>
            </span>
          )),
        ],
        ["With features", features.join(", ") || "none"],
        ["Only those that need", mandatoryFeatures.join(", ") || "nothing special"],
        ["Speed factor", String(machine.speedFactor)],
        ["Nix", machine.nixVersion],
        ["Address", machine.peer ?? "not known"],
        ["Joined", <Ago at={machine.joinedAt} />],
        ["Last ping", machine.lastPing === 0 ? "none yet" : <Ago at={machine.lastPing} />],
        ["Done, failed", `${countText(machine.done)}, ${countText(machine.failed)}`],
      ]}
    />
  );
}

function Content({ machine }: { readonly machine: ApiMachineDetail }): JSX.Element {
  const { name, running, history } = machine;
  const isDraining = machine.state === "draining";
  const path = paths.machine(name);
  const idle = machine.idleSince === null ? "" : `idle for ${roughSpan(machine.now - machine.idleSince)}`;
  return (
    <>
      <Headline title={name}>
        <MachineState machine={machine} />
      </Headline>
      <div class="actions">
        {isDraining ? (
          <Action title={`Resume ${name}`} path={`${path}/resume`}>
            It takes new steps again at once.
          </Action>
        ) : (
          <Action title={`Drain ${name}`} path={`${path}/drain`}>
            It takes no new steps; the {plural(machine.jobs, "step")} it builds now{" "}
            {machine.jobs === 1 ? "goes" : "go"} on.
          </Action>
        )}
        <Link to={`/timeline?machine=${encodeURIComponent(name)}`}>Timeline</Link>
      </div>
      <div class="columns">
        <Panel title="Condition">
          <Condition machine={machine} />
        </Panel>
        <Panel title="What it is">
          <Identity machine={machine} />
        </Panel>
      </div>
      <Panel title="Running" note={plural(running.length, "step")}>
        {running.length === 0 ? (
          <Empty>Nothing{idle === "" ? "" : `, ${idle}`}.</Empty>
        ) : (
          <Table
            caption="Steps that run here"
            columns={runningColumns}
            rows={running}
            rowKey={(step) => `${step.drv} ${step.try}`}
          />
        )}
      </Panel>
      <Panel title="What ran" note="newest first">
        {history.length === 0 ? (
          <Empty>Nothing yet.</Empty>
        ) : (
          <Table
            caption="Steps that ran here"
            columns={historyColumns}
            rows={history}
            rowKey={(attempt) => `${attempt.drv} ${attempt.try} ${attempt.startedAt}`}
            sortName="sort"
          />
        )}
      </Panel>
    </>
  );
}

/** One machine. */
export function Machine({ parts: [name = ""] }: ViewProps): JSX.Element {
  const resource = useResource<ApiMachineDetail>(`machines/${encodeURIComponent(name)}`, ["machines"]);
  return <Loaded resource={resource}>{(machine) => <Content machine={machine} />}</Loaded>;
}
