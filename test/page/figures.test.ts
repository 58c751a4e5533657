/** What the live page works out by itself: figures as text, places in graphs, lanes of the timeline, rows on the screen. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ApiAttempt, ApiGraph, ApiStepState } from "../../lib/status/api/types.js";
import { collapseGraph } from "../../lib/status/page/app/data/collapse.js";
import { timelineLanes } from "../../lib/status/page/app/data/lanes.js";
import { placesOf } from "../../lib/status/page/app/data/layout.js";
import { moved, presentEnd, spanOf, spanQuery, zoomed } from "../../lib/status/page/app/data/span.js";
import {
  bytesText,
  derivationName,
  percentText,
  plural,
  roughSpan,
  spanText,
} from "../../lib/status/page/app/data/words.js";

describe("figures", () => {
  it("are short and have units", () => {
    expect([0, 41_000, 125_000, 3_600_000, 11_400_000, 187_200_000, -5].map(spanText)).toEqual([
      "0 s",
      "41 s",
      "2 min 5 s",
      "1 h",
      "3 h 10 min",
      "2 d 4 h",
      "0 s",
    ]);
    expect([59_000, 90_000, 7_200_000, 400_000_000].map(roughSpan)).toEqual(["59 s", "2 min", "2 h", "5 d"]);
    expect([512, 1536, 64 * 2 ** 30, 3.4e12].map(bytesText)).toEqual([
      "512 B",
      "1.5 KiB",
      "64.0 GiB",
      "3.1 TiB",
    ]);
    expect([0, 3.14, 38.2].map(percentText)).toEqual(["0 %", "3.1 %", "38 %"]);
    expect([plural(1, "step"), plural(8120, "step"), plural(2, "match", "matches")]).toEqual([
      "1 step",
      "8,120 steps",
      "2 matches",
    ]);
    expect(derivationName("0123456789abcdfghijklmnpqrsvwxyz-hello-2.12.drv")).toBe("hello-2.12");
  });
});

describe("the span of the timeline", () => {
  const minute = 60_000;
  const now = 1_000 * 60 * minute + 5_000;

  it("keeps the point that is zoomed at, within bounds, and never shows the future", () => {
    const span = { from: now - 120 * minute, to: now - 60 * minute };
    expect(zoomed(span, 0.5, 0.25, now)).toEqual({ from: now - 112.5 * minute, to: now - 82.5 * minute });
    fc.assert(
      fc.property(
        fc.double({ min: 0.001, max: 1_000, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (factor, at) => {
          const { from, to } = zoomed(span, factor, at, now);
          expect(to).toBeLessThanOrEqual(presentEnd(now));
          expect(to - from).toBeGreaterThan(minute - 1);
          expect(to - from).toBeLessThan(7 * 24 * 60 * minute + 1);
          expect(moved({ from, to }, 3, now).to).toBeLessThanOrEqual(presentEnd(now));
        },
      ),
    );
  });

  it("is in the address as it is, and moves with the time when it ends now", () => {
    const query = new URLSearchParams({ minutes: "x", to: "-1" });
    const usual = spanOf(query, 60, now);
    expect(usual).toEqual({ from: presentEnd(now) - 60 * minute, to: presentEnd(now) });
    expect(spanQuery(usual, now)).toEqual({ minutes: "60", to: "" });
    const earlier = moved(usual, -0.5, now);
    expect(spanOf(new URLSearchParams(spanQuery(earlier, now)), 60, now)).toEqual(earlier);
  });
});

const states: readonly ApiStepState[] = ["succeeded", "failed", "running", "waiting", "ready"];

/** Graphs without circles: edges lead from earlier nodes to later ones. */
const graphs: fc.Arbitrary<ApiGraph> = fc
  .array(fc.tuple(fc.constantFrom(...states), fc.boolean(), fc.array(fc.nat(1000), { maxLength: 4 })), {
    minLength: 1,
    maxLength: 60,
  })
  .map((drawn) => ({
    nodes: drawn.map(([state, critical], index) => ({
      id: `step-${index}`,
      name: `step ${index}`,
      state,
      count: 1,
      machine: null,
      startedAt: null,
      durationMs: null,
      critical,
    })),
    edges: drawn.flatMap(([, , users], index): [number, number][] =>
      index === 0 ? [] : [...new Set(users.map((user) => user % index))].map((user) => [user, index]),
    ),
    steps: drawn.length,
    truncated: false,
  }));

describe("the graph", () => {
  it("has what is needed to the right of what needs it, and no two nodes in one place", () => {
    fc.assert(
      fc.property(graphs, (graph) => {
        const places = placesOf(graph);
        for (const [user, need] of graph.edges) {
          expect(places[need]?.layer).toBeGreaterThan(places[user]?.layer ?? Number.NaN);
        }
        expect(new Set(places.map(({ layer, row }) => `${layer} ${row}`)).size).toBe(graph.nodes.length);
      }),
    );
  });

  it("put together by state has every step once, and what runs, failed or is critical by itself", () => {
    fc.assert(
      fc.property(graphs, (graph) => {
        const small = collapseGraph(graph);
        expect(small.nodes.reduce((sum, { count }) => sum + count, 0)).toBe(graph.nodes.length);
        expect(small.nodes[0]).toEqual(graph.nodes[0]);
        const single = graph.nodes.filter(
          ({ state, critical }) => critical || state === "running" || state === "failed",
        );
        for (const node of single) expect(small.nodes).toContainEqual(node);
        for (const [from, to] of small.edges) {
          expect(from).not.toBe(to);
          expect(small.nodes[from] !== undefined && small.nodes[to] !== undefined).toBe(true);
        }
      }),
    );
  });

  it("is drawn in spite of a circle", () => {
    const [node] = fc.sample(graphs, 1).flatMap(({ nodes }) => nodes);
    if (node === undefined) throw new Error("no node");
    expect(
      placesOf({
        nodes: [node, { ...node, id: "b" }],
        edges: [
          [0, 1],
          [1, 0],
        ],
      }),
    ).toHaveLength(2);
  });

  it("of 2,000 nodes is laid out in less than 100 ms", () => {
    const [sample] = fc.sample(graphs, 1);
    const node = sample?.nodes[0];
    if (node === undefined) throw new Error("no node");
    const nodes = Array.from({ length: 2000 }, (_, index) => ({
      ...node,
      id: String(index),
      state: "waiting" as const,
    }));
    const edges = nodes.slice(1).map((_, index): [number, number] => [Math.floor(index / 3), index + 1]);
    // Of this process, as others use the machine too.
    const times = Array.from({ length: 5 }, () => {
      const began = process.cpuUsage();
      placesOf(collapseGraph({ nodes, edges, steps: 2000, truncated: false }));
      placesOf({ nodes, edges });
      const { user, system } = process.cpuUsage(began);
      return (user + system) / 1000;
    });
    expect(Math.min(...times)).toBeLessThan(100);
  });
});

describe("the timeline", () => {
  const attempt = (startedAt: number, stoppedAt: number | null, machine = "a"): ApiAttempt => ({
    drv: "x.drv",
    name: "x",
    build: 1,
    job: null,
    try: 1,
    machine,
    system: null,
    startedAt,
    stoppedAt,
    status: stoppedAt === null ? null : 0,
    result: "",
  });

  it("says how much of a machine was used, and for how long nothing ran", () => {
    const [a, b] = timelineLanes({
      now: 1000,
      from: 0,
      to: 2000,
      machines: [
        { name: "a", slots: 2 },
        { name: "b", slots: 1 },
      ],
      attempts: [attempt(-100, 400), attempt(300, 500), attempt(900, null)],
      truncated: false,
    });
    expect([a?.lanes, a?.used, a?.longestGap]).toEqual([2, (400 + 200 + 100) / 2000, 400]);
    expect([b?.lanes, b?.used, b?.longestGap, b?.bars]).toEqual([1, 0, 1000, []]);
  });

  it("never draws two attempts of a slot over each other", () => {
    const spans = fc.array(fc.tuple(fc.nat(1000), fc.nat(300)));
    fc.assert(
      fc.property(spans, (list) => {
        const attempts = list.map(([begin, long]) => attempt(begin, begin + long));
        const [lanes] = timelineLanes({
          now: 2000,
          from: 0,
          to: 2000,
          machines: [{ name: "a", slots: 1 }],
          attempts,
          truncated: false,
        });
        const ends = new Map<number, number>();
        for (const { attempt: one, lane } of lanes?.bars ?? []) {
          expect(one.startedAt).toBeGreaterThanOrEqual(ends.get(lane) ?? 0);
          ends.set(lane, one.stoppedAt ?? 0);
        }
      }),
    );
  });
});
