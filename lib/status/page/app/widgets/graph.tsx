/**
 * Dependencies as a graph, from left to right: signs and colours for states, the critical path thick. A table says the same
 * for those who cannot see it, and comes first where the graph is large.
 */
import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import type { ApiGraph, ApiGraphNode, ApiStepState } from "../../../api/types.js";
import { hrefOf, navigate } from "../data/address.js";
import { collapseGraph } from "../data/collapse.js";
import { placesOf } from "../data/layout.js";
import { countText, plural } from "../data/words.js";
import { MachineLink, paths, StepLink } from "./link.js";
import { Mark, stepSigns, stepTones } from "./mark.js";
import { Empty } from "./notice.js";
import { type Column, Table } from "./table.js";
import { Since } from "./time.js";

const boxWidth = 168;
const boxHeight = 24;
const gapX = 44;
const gapY = 8;
/** With more nodes the table comes first. */
const drawnUpTo = 2000;

const stateOrder: readonly ApiStepState[] = [
  "failed",
  "unsupported",
  "running",
  "ready",
  "waiting",
  "cancelled",
  "unknown",
  "cached",
  "succeeded",
];

const columns: readonly Column<ApiGraphNode>[] = [
  {
    key: "name",
    title: "Step",
    kind: "name",
    phone: "head",
    cell: ({ id, name, count }) => (count > 1 ? plural(count, "step") : <StepLink drv={id} name={name} />),
    sort: ({ name }) => name,
  },
  {
    key: "state",
    title: "State",
    phone: "head",
    cell: ({ state }) => <Mark tone={stepTones[state]}>{state}</Mark>,
    sort: ({ state }) => stateOrder.indexOf(state),
  },
  {
    key: "critical",
    title: "Critical path",
    cell: ({ critical }) => (critical ? "yes" : ""),
    sort: ({ critical }) => (critical ? 0 : 1),
  },
  {
    key: "machine",
    title: "Machine",
    cell: ({ machine }) => (machine === null ? "" : <MachineLink name={machine} />),
  },
  {
    key: "for",
    title: "For",
    kind: "number",
    cell: ({ state, startedAt }) =>
      state === "running" && startedAt !== null ? <Since at={startedAt} /> : "",
  },
];

function shorten(text: string): string {
  return text.length > 21 ? `${text.slice(0, 20)}…` : text;
}

interface Box {
  readonly node: ApiGraphNode;
  readonly x: number;
  readonly y: number;
}

function NodeBox({
  box,
  index,
  isFocused,
}: {
  readonly box: Box;
  readonly index: number;
  readonly isFocused: boolean;
}): JSX.Element {
  const { node, x, y } = box;
  const text = node.count > 1 ? `${countText(node.count)} ${node.state}` : shorten(node.name);
  return (
    <a
      href={node.count > 1 ? undefined : hrefOf(paths.step(node.id))}
      class={`node ${stepTones[node.state]}${node.critical ? " critical" : ""}`}
      data-node={index}
      tabIndex={isFocused ? 0 : -1}
      role={node.count > 1 ? "img" : "link"}
      aria-label={`${text}, ${node.state}${node.critical ? ", on the critical path" : ""}`}
      onClick={(event) => {
        event.preventDefault();
        if (node.count === 1) navigate(paths.step(node.id));
      }}
      onKeyDown={(event) => {
        if (event.key === "Enter" && node.count === 1) navigate(paths.step(node.id));
      }}
    >
      <title>{`${node.name}: ${node.state}`}</title>
      <rect x={x} y={y} width={boxWidth} height={boxHeight} rx="4" />
      <text x={x + 7} y={y + 16}>
        <tspan class="sign">{stepSigns[node.state]}</tspan> {text}
      </text>
    </a>
  );
}

/** Arrow keys follow edges, and go up and down in a layer. */
function nextNode(key: string, from: number, graph: ApiGraph, boxes: readonly Box[]): number | undefined {
  const here = boxes[from];
  if (here === undefined) return undefined;
  switch (key) {
    case "ArrowRight":
      return graph.edges.find(([user]) => user === from)?.[1];
    case "ArrowLeft":
      return graph.edges.find(([, need]) => need === from)?.[0];
    case "ArrowDown":
    case "ArrowUp": {
      const sign = key === "ArrowDown" ? 1 : -1;
      const column = boxes
        .map(({ x, y }, index) => ({ x, y, index }))
        .filter(({ x, y }) => x === here.x && sign * (y - here.y) > 0)
        .sort((a, b) => sign * (a.y - b.y));
      return column[0]?.index;
    }
    default:
      return undefined;
  }
}

function Drawing({ graph }: { readonly graph: ApiGraph }): JSX.Element {
  const [focused, setFocused] = useState(0);
  const places = useMemo(() => placesOf(graph), [graph]);
  const boxes = places.map(
    ({ layer, row }, index): Box => ({
      node: graph.nodes[index] as ApiGraphNode,
      x: 4 + layer * (boxWidth + gapX),
      y: 4 + row * (boxHeight + gapY),
    }),
  );
  const width = Math.max(...boxes.map(({ x }) => x)) + boxWidth + 8;
  const height = Math.max(...boxes.map(({ y }) => y)) + boxHeight + 8;
  const press = (event: KeyboardEvent & { currentTarget: SVGSVGElement }): void => {
    const next = nextNode(event.key, focused, graph, boxes);
    if (next === undefined) return;
    event.preventDefault();
    setFocused(next);
    event.currentTarget.querySelector<SVGAElement>(`[data-node="${next}"]`)?.focus();
  };
  return (
    <div class="graph" tabIndex={-1}>
      <svg
        width={width}
        height={height}
        aria-label="Dependency graph; arrow keys follow its edges"
        onKeyDown={press}
      >
        {graph.edges.map(([from, to]) => {
          const [a, b] = [boxes[from], boxes[to]];
          if (a === undefined || b === undefined) return null;
          const [x1, y1, x2, y2] = [a.x + boxWidth, a.y + boxHeight / 2, b.x, b.y + boxHeight / 2];
          const bend = (x1 + x2) / 2;
          return (
            <path
              key={`${from} ${to}`}
              class={a.node.critical && b.node.critical ? "edge critical" : "edge"}
              d={`M${x1} ${y1}C${bend} ${y1} ${bend} ${y2} ${x2} ${y2}`}
            />
          );
        })}
        {boxes.map((box, index) => (
          <NodeBox key={box.node.id} box={box} index={index} isFocused={index === focused} />
        ))}
      </svg>
    </div>
  );
}

/** The graph, put together by state or whole, or as a table. */
export function DependencyGraph({ graph }: { readonly graph: ApiGraph }): JSX.Element {
  const isLarge = graph.nodes.length > drawnUpTo;
  const [shape, choose] = useState<"collapsed" | "whole" | "table">(isLarge ? "table" : "collapsed");
  const collapsed = useMemo(() => collapseGraph(graph), [graph]);
  if (graph.nodes.length === 0) return <Empty>No steps are known.</Empty>;
  const shapes = [
    ["collapsed", "By state"],
    ["whole", "Every step"],
    ["table", "Table"],
  ] as const;
  return (
    <>
      <div class="filters">
        {shapes.map(([value, title]) => (
          <button
            key={value}
            type="button"
            class="choice"
            aria-pressed={shape === value}
            onClick={() => choose(value)}
          >
            {title}
          </button>
        ))}
        {graph.truncated ? <span class="soft">a part only: it is too large to be shown whole</span> : null}
      </div>
      {shape === "table" ? (
        <Table
          caption="Dependencies"
          columns={columns}
          rows={[...graph.nodes].sort((a, b) => stateOrder.indexOf(a.state) - stateOrder.indexOf(b.state))}
          rowKey={({ id }) => id}
          sortName="steps"
        />
      ) : (
        <Drawing graph={shape === "whole" ? graph : collapsed} />
      )}
    </>
  );
}
