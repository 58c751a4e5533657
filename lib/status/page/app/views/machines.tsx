/** Who is idle, full, held, drowning, gone? */
import type { JSX } from "preact";
import type { ApiMachine, ApiMachineState, ApiMachines } from "../../../api/types.js";
import { changeQuery, useAddress } from "../data/address.js";
import { useResource } from "../data/resource.js";
import { bytesText, percentText, plural, roughSpan } from "../data/words.js";
import { type Choice, Filter } from "../widgets/filter.js";
import { MachineLink } from "../widgets/link.js";
import { Mark, machineTones } from "../widgets/mark.js";
import { Meter } from "../widgets/meter.js";
import { Empty, Loaded } from "../widgets/notice.js";
import { Headline } from "../widgets/panel.js";
import { type Column, Table } from "../widgets/table.js";
import { Ago, At } from "../widgets/time.js";

/** States in the order in which they want to be looked at. */
const urgency: readonly ApiMachineState[] = [
  "held",
  "silent",
  "disconnected",
  "limited",
  "draining",
  "full",
  "building",
  "idle",
];

/** In a sentence about several machines. */
const pluralWords: Readonly<Record<ApiMachineState, string>> = {
  held: "held",
  silent: "without pings",
  disconnected: "disconnected",
  limited: "over a limit",
  draining: "draining",
  full: "full",
  building: "with room",
  idle: "idle",
};

/** The state with its cause. */
export function MachineState({ machine }: { readonly machine: ApiMachine }): JSX.Element {
  const { state, words, until } = machine;
  return (
    <span>
      <Mark tone={machineTones[state]}>{state === "limited" ? "over a limit" : state}</Mark>
      <span class="soft">
        {" "}
        {words.replace(new RegExp(`^${state}(?:: |, | )?`), "")}
        {until === null ? null : (
          <>
            , until <At at={until} />
          </>
        )}
      </span>
    </span>
  );
}

function pressureOf({ cpuPressure, memoryPressure, ioPressure }: ApiMachine): number {
  return Math.max(cpuPressure ?? 0, memoryPressure ?? 0, ioPressure ?? 0);
}

function Pressure({ machine }: { readonly machine: ApiMachine }): JSX.Element {
  const { cpuPressure, memoryPressure, ioPressure } = machine;
  const parts = [
    ["CPU", cpuPressure],
    ["memory", memoryPressure],
    ["I/O", ioPressure],
  ] as const;
  const known = parts.flatMap(([name, value]) => (value === null ? [] : [{ name, value }]));
  const worst = known.reduce((a, b) => (b.value > a.value ? b : a), { name: "", value: 0 });
  if (known.length === 0) return <span class="soft">not reported</span>;
  return (
    <span title={known.map(({ name, value }) => `${name} ${value.toFixed(1)} %`).join(", ")}>
      {percentText(worst.value)} <span class="soft">{worst.value < 1 ? "" : worst.name}</span>
    </span>
  );
}

const columns: readonly Column<ApiMachine>[] = [
  {
    key: "name",
    title: "Machine",
    phone: "head",
    cell: ({ name }) => <MachineLink name={name} />,
    sort: ({ name }) => name,
  },
  {
    key: "state",
    title: "State",
    kind: "name",
    phone: "head",
    cell: (machine) => <MachineState machine={machine} />,
    sort: ({ state }) => urgency.indexOf(state),
  },
  {
    key: "systems",
    title: "Systems",
    cell: ({ systems, features }) => (
      <span title={features.join(", ")}>
        {systems[0]}
        {systems.length > 1 ? <span class="soft"> +{systems.length - 1}</span> : null}
      </span>
    ),
    sort: ({ systems }) => systems.join(" "),
  },
  {
    key: "slots",
    title: "Slots",
    cell: ({ jobs, slots }) => (
      <Meter value={jobs} max={slots}>
        {jobs}/{slots}
      </Meter>
    ),
    sort: ({ jobs, slots }) => jobs / Math.max(1, slots),
  },
  {
    key: "load",
    title: "Load",
    kind: "number",
    cell: ({ load1, cpuCount }) => <span title={`of ${plural(cpuCount, "core")}`}>{load1.toFixed(1)}</span>,
    sort: ({ load1, cpuCount }) => load1 / Math.max(1, cpuCount),
  },
  {
    key: "pressure",
    title: "Pressure",
    kind: "number",
    cell: (machine) => <Pressure machine={machine} />,
    sort: pressureOf,
  },
  {
    key: "memory",
    title: "Memory",
    cell: ({ memoryUsed, memoryTotal }) => (
      <Meter value={memoryUsed} max={memoryTotal} warnAt={0.92}>
        {bytesText(memoryUsed)}
        <span class="soft">/{bytesText(memoryTotal)}</span>
      </Meter>
    ),
    sort: ({ memoryUsed, memoryTotal }) => memoryUsed / Math.max(1, memoryTotal),
  },
  {
    key: "disk",
    title: "Store free",
    kind: "number",
    cell: ({ storeFree }) => (storeFree === null ? <span class="soft">?</span> : percentText(storeFree)),
    sort: ({ storeFree }) => storeFree ?? 101,
  },
  {
    key: "ping",
    title: "Last ping",
    kind: "number",
    cell: ({ lastPing }) => (lastPing === 0 ? <span class="soft">none yet</span> : <Ago at={lastPing} />),
    sort: ({ lastPing }) => lastPing,
  },
  { key: "done", title: "Done", kind: "number", cell: ({ done }) => done, sort: ({ done }) => done },
  {
    key: "failed",
    title: "Failed",
    kind: "number",
    cell: ({ failed }) => (failed === 0 ? <span class="soft">0</span> : failed),
    sort: ({ failed }) => failed,
  },
];

function countBy(machines: readonly ApiMachine[]): readonly (readonly [ApiMachineState, number])[] {
  return urgency
    .map((state) => [state, machines.filter((machine) => machine.state === state).length] as const)
    .filter(([, count]) => count > 0);
}

function Answer({ data }: { readonly data: ApiMachines }): JSX.Element {
  const { machines, now } = data;
  if (machines.length === 0) return <Mark tone="bad">No machine has joined.</Mark>;
  const held = machines.filter(({ until }) => until !== null);
  const next = Math.min(...held.map(({ until }) => until ?? 0));
  const parts = countBy(machines).map(([state, count]) => `${count} ${pluralWords[state]}`);
  return (
    <>
      {plural(machines.length, "machine")}: {parts.join(", ")}
      {held.length > 0 ? `; the next hold ends in ${roughSpan(next - now)}` : ""}.
    </>
  );
}

/** Rows that the filters of the address leave. */
function matching(machines: readonly ApiMachine[], query: URLSearchParams): readonly ApiMachine[] {
  const state = query.get("state") ?? "";
  const text = (query.get("filter") ?? "").toLowerCase();
  return machines.filter((machine) => {
    if (state !== "" && machine.state !== state) return false;
    const { name, systems, features, words } = machine;
    return [name, ...systems, ...features, words].some((part) => part.toLowerCase().includes(text));
  });
}

/** All machines in one table. */
export function Machines(): JSX.Element {
  const { query } = useAddress();
  const resource = useResource<ApiMachines>("machines", ["machines"]);
  return (
    <Loaded resource={resource}>
      {(data) => {
        const choices: Choice[] = countBy(data.machines).map(([state, count]) => ({
          value: state,
          title: state,
          count,
        }));
        const rows = matching(data.machines, query);
        return (
          <>
            <Headline title="Machines">
              <Answer data={data} />
            </Headline>
            <div class="panel">
              <Filter
                label="Name, system, feature"
                text={query.get("filter") ?? ""}
                onText={(filter) => changeQuery({ filter })}
                choices={choices}
                chosen={query.get("state") ?? ""}
                onChoose={(state) => changeQuery({ state })}
              />
              {rows.length === 0 ? (
                <Empty>
                  {data.machines.length === 0
                    ? "Start hydra-builder on a machine and give it this runner's address."
                    : "No machine matches."}
                </Empty>
              ) : (
                <Table
                  caption="Machines"
                  columns={columns}
                  rows={rows}
                  rowKey={({ id }) => id}
                  sortName="sort"
                />
              )}
            </div>
          </>
        );
      }}
    </Loaded>
  );
}
