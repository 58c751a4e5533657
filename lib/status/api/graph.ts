/** The graph of steps below a build or step, as far as they have not ended: what waits for what, and what is longest. */
import { turn } from "../../async/index.js";
import type { StepRow } from "../../scheduler/index.js";
import { namedMachines } from "../answers/machine-names.js";
import { explanationWords } from "../answers/words.js";
import type { StatusSource } from "../types.js";
import { usualMs } from "./running.js";
import { sliceLength } from "./slices.js";
import type { ApiSource } from "./source.js";
import type { ApiBlocker, ApiGraph, ApiGraphNode, ApiReason, ApiStepState } from "./types.js";

/** Steps that are looked at. */
const walkedSteps = 20_000;
/** Nodes of an answer; with more steps those of one state are put together. */
const shownNodes = 400;
const blockersShown = 20;

/** State of a step that has not ended. */
export function stateOf(reason: ApiReason): ApiStepState {
  switch (reason) {
    case "running":
    case "unsupported":
      return reason;
    case "machinesBusy":
    case "nextInLine":
      return "ready";
    case "retryLater":
    case "gated":
    case "waitingForDynamicInputs":
    case "waitingForInputs":
      return "waiting";
  }
}

interface Node {
  readonly row: StepRow;
  readonly inputs: readonly string[];
  /** Milliseconds of expected work on the longest chain below, itself included. */
  chainMs: number;
  critical: boolean;
}

/** Steps below one, itself first. */
export interface Walk {
  /** By derivation; each is behind one that waits for it. */
  readonly nodes: ReadonlyMap<string, Node>;
  readonly truncated: boolean;
}

/** Looks at all steps that `root` waits for, as far as there are not too many. */
export async function walk(api: ApiSource, root: string, now: number): Promise<Walk> {
  const nodes = new Map<string, Node>();
  const first = api.row(root);
  if (first === undefined) return { nodes, truncated: false };
  const queue: string[] = [first.id];
  for (let index = 0; index < queue.length && nodes.size < walkedSteps; index++) {
    const row = api.row(queue[index] ?? "");
    if (row === undefined || nodes.has(row.id)) continue;
    const inputs = api.inputs(row.id);
    nodes.set(row.id, { row, inputs, chainMs: 0, critical: false });
    for (const input of inputs) if (!nodes.has(input)) queue.push(input);
    if (index % sliceLength === sliceLength - 1) await turn();
  }
  markCritical(nodes, first.id, now);
  return { nodes, truncated: nodes.size >= walkedSteps };
}

function leftMs({ startedAt, expectedMs }: StepRow, now: number): number {
  return startedAt === undefined ? expectedMs : Math.max(0, expectedMs - (now - startedAt));
}

/** Without recursion: chains can be long. */
function markCritical(nodes: ReadonlyMap<string, Node>, root: string, now: number): void {
  const next = new Map<string, string>();
  const state = new Map<string, "open" | "done">();
  const stack = [root];
  for (let id = stack.at(-1); id !== undefined; id = stack.at(-1)) {
    const node = nodes.get(id);
    if (node === undefined || state.get(id) === "done") {
      stack.pop();
      continue;
    }
    if (state.get(id) === undefined) {
      state.set(id, "open");
      for (const input of node.inputs) if (nodes.has(input) && !state.has(input)) stack.push(input);
      continue;
    }
    let longest = 0;
    for (const input of node.inputs) {
      const chain = nodes.get(input)?.chainMs ?? 0;
      if (chain > longest || !next.has(id)) next.set(id, input);
      longest = Math.max(longest, chain);
    }
    node.chainMs = longest + leftMs(node.row, now);
    state.set(id, "done");
    stack.pop();
  }
  for (let id: string | undefined = root; id !== undefined; id = next.get(id)) {
    const node = nodes.get(id);
    if (node === undefined) return;
    node.critical = true;
  }
}

function machineNames(source: StatusSource): ReadonlyMap<string, string> {
  return new Map([...namedMachines(source.machines())].map(([name, { view }]) => [view.info.id, name]));
}

/** The walk as the page draws it; `done`: steps that have ended already. */
export function graphOf(
  source: StatusSource,
  { nodes, truncated }: Walk,
  now: number,
  done: number,
): ApiGraph {
  const names = machineNames(source);
  const shown: ApiGraphNode[] = [];
  const indexOf = new Map<string, number>();
  const groups = new Map<ApiStepState, number>();
  const isLarge = nodes.size > shownNodes;
  for (const [id, { row, critical }] of nodes) {
    const state = stateOf(row.reason);
    const matters = critical || row.reason === "running" || row.reason === "unsupported";
    if (
      isLarge &&
      (shown.length >= shownNodes || !(matters || row.reason === "retryLater" || indexOf.size === 0))
    ) {
      const group = groups.get(state);
      const known = group === undefined ? undefined : shown[group];
      if (group !== undefined && known !== undefined) {
        shown[group] = { ...known, count: known.count + 1 };
        indexOf.set(id, group);
        continue;
      }
      groups.set(state, shown.length);
      indexOf.set(id, shown.length);
      shown.push({ ...groupNode(state), count: 1 });
      continue;
    }
    indexOf.set(id, shown.length);
    shown.push({
      id,
      name: row.name,
      state,
      count: 1,
      machine: row.machine === undefined ? null : (names.get(row.machine) ?? row.machine),
      startedAt: row.startedAt ?? null,
      durationMs: row.startedAt === undefined ? null : Math.max(0, now - row.startedAt),
      critical,
    });
  }
  const edges = edgesOf(nodes, indexOf);
  if (done > 0) {
    if (shown.length > 0) edges.push([0, shown.length]);
    shown.push({ ...groupNode("succeeded"), count: done });
  }
  return { nodes: shown, edges, steps: nodes.size + done, truncated };
}

function groupNode(state: ApiStepState): Omit<ApiGraphNode, "count"> {
  return {
    id: `group:${state}`,
    name: state,
    state,
    machine: null,
    startedAt: null,
    durationMs: null,
    critical: false,
  };
}

function edgesOf(
  nodes: ReadonlyMap<string, Node>,
  indexOf: ReadonlyMap<string, number>,
): (readonly [number, number])[] {
  const edges = new Map<string, readonly [number, number]>();
  for (const [id, { inputs }] of nodes) {
    const from = indexOf.get(id);
    for (const input of inputs) {
      const to = indexOf.get(input);
      if (from === undefined || to === undefined || from === to) continue;
      edges.set(`${from} ${to}`, [from, to]);
    }
  }
  return [...edges.values()];
}

/** Steps of the walk that wait for no other step, those of the longest chain first. */
export function blockersOf(source: StatusSource, api: ApiSource, { nodes }: Walk, now: number): ApiBlocker[] {
  const names = machineNames(source);
  return [...nodes.values()]
    .filter(({ row }) => row.reason !== "waitingForInputs")
    .sort((a, b) => Number(b.critical) - Number(a.critical) || b.chainMs - a.chainMs)
    .slice(0, blockersShown)
    .map(({ row }) => ({
      drv: row.id,
      name: row.name,
      state: stateOf(row.reason),
      // Its place would cost as much as all steps before it.
      why: explanationWords(api.why(row.id, 0), now),
      machine: row.machine === undefined ? null : (names.get(row.machine) ?? row.machine),
      startedAt: row.startedAt ?? null,
      usualMs: usualMs(api, row),
    }));
}
