/** Seeded graphs that look like a package collection: a deep tool chain, wide layers above it, a few hot libraries. */
import { type NewStep, newStep } from "../lib/scheduler/index.js";

/** Uniform numbers in [0, 1) from a seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export interface GraphNode {
  readonly name: string;
  /** Indices of smaller nodes. */
  readonly inputs: readonly number[];
  readonly durationMs: number;
  /** What history would say: the duration, off by some factor. */
  readonly expectedMs: number;
}

export interface GraphShape {
  readonly steps: number;
  readonly seed: number;
  /** Steps of the tool chain, one after the other. */
  readonly chain?: number;
  readonly medianMs?: number;
}

/** Nodes in topological order. Durations are log-normal, so that a few steps take hundreds of times the median. */
export function makeGraph({ steps, seed, chain = 25, medianMs = 45_000 }: GraphShape): GraphNode[] {
  const random = seededRandom(seed);
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const nodes: GraphNode[] = [];
  for (let i = 0; i < steps; i++) {
    const inputs = new Set<number>();
    if (i > 0 && i < chain) {
      inputs.add(i - 1);
    } else if (i > 0) {
      inputs.add(chain - 1);
      const count = Math.floor(random() * 6);
      for (let k = 0; k < count; k++) {
        // Cubing prefers old nodes, which thereby become hot; sometimes a recent one, which makes chains.
        const pick = random() < 0.25 ? i - 1 - Math.floor(random() * 40) : Math.floor(i * random() ** 3);
        if (pick >= chain && pick < i) inputs.add(pick);
      }
    }
    const durationMs = Math.round(Math.min(4 * 3_600_000, medianMs * Math.exp(1.2 * normal())));
    const expectedMs = Math.max(1, Math.round(durationMs * Math.exp(0.25 * normal())));
    nodes.push({ name: `p${i}`, inputs: [...inputs], durationMs, expectedMs });
  }
  return nodes;
}

export interface Evaluation {
  /** All its steps, inputs first; a step that another evaluation has too bears the same name. */
  readonly names: readonly string[];
}

export interface QueuedSteps {
  readonly steps: ReadonlyMap<string, { readonly node: GraphNode; readonly inputs: readonly string[] }>;
  readonly evaluations: readonly Evaluation[];
}

/** Evaluations of the same collection; each later one changed a few packages, and hence all that depend on those. */
export function evaluate(
  nodes: readonly GraphNode[],
  count: number,
  changes: number,
  seed: number,
): QueuedSteps {
  const random = seededRandom(seed);
  const version = nodes.map(() => 0);
  const steps = new Map<string, { node: GraphNode; inputs: string[] }>();
  const evaluations: Evaluation[] = [];
  for (let evaluation = 0; evaluation < count; evaluation++) {
    const changed = new Set<number>();
    if (evaluation > 0) {
      for (let k = 0; k < changes; k++) changed.add(Math.floor(nodes.length * (0.3 + 0.7 * random())));
    }
    const names: string[] = [];
    for (const [index, node] of nodes.entries()) {
      if (node.inputs.some((input) => changed.has(input))) changed.add(index);
      if (changed.has(index)) version[index] = evaluation;
      const name = `${node.name}-${version[index] ?? 0}`;
      names.push(name);
      if (!steps.has(name)) {
        steps.set(name, { node, inputs: node.inputs.map((input) => names[input] ?? "") });
      }
    }
    evaluations.push({ names });
  }
  return { steps, evaluations };
}

export function stepOf(name: string, node: GraphNode, inputs: readonly string[]): NewStep {
  return newStep({
    id: `${name}.drv`,
    system: "x86_64-linux",
    inputs: inputs.map((input) => `${input}.drv`),
    expectedDurationMs: node.expectedMs,
  });
}

/** The steps of one graph. */
export function stepsOf(shape: GraphShape): NewStep[] {
  const nodes = makeGraph(shape);
  const nameOf = (input: number): string => nodes[input]?.name ?? "";
  return nodes.map((node) => stepOf(node.name, node, node.inputs.map(nameOf)));
}

/** Longest chain of durations. */
export function criticalPathMs(queued: QueuedSteps): number {
  const ends = new Map<string, number>();
  let longest = 0;
  for (const [name, { node, inputs }] of queued.steps) {
    const end = node.durationMs + Math.max(0, ...inputs.map((input) => ends.get(input) ?? 0));
    ends.set(name, end);
    longest = Math.max(longest, end);
  }
  return longest;
}
