/** Puts together what a reader of a graph need not see one by one: "812 succeeded". Pure. */
import type { ApiGraph, ApiGraphNode } from "../../../api/types.js";

/** States that are shown one by one first. */
const interesting: ReadonlySet<string> = new Set(["running", "failed", "unsupported"]);

function isShown(node: ApiGraphNode, index: number): boolean {
  return index === 0 || node.critical || interesting.has(node.state) || node.count > 1;
}

/**
 * A graph where what is wanted by the same nodes and has the same uninteresting state is one node. The first node stays;
 * edges follow the nodes.
 */
export function collapseGraph(graph: ApiGraph): ApiGraph {
  const { nodes, edges } = graph;
  const usersOf = nodes.map((): number[] => []);
  for (const [from, to] of edges) usersOf[to]?.push(from);
  const nextOf: number[] = [];
  const shown: { -readonly [key in keyof ApiGraphNode]: ApiGraphNode[key] }[] = [];
  const groups = new Map<string, number>();
  for (const [index, node] of nodes.entries()) {
    const isSingle = isShown(node, index);
    // Of users that are put together already, the group counts; those after it, by themselves.
    const users = [...new Set((usersOf[index] ?? []).map((user) => nextOf[user] ?? -1 - user))].sort(
      (a, b) => a - b,
    );
    const key = isSingle ? `node ${index}` : `${node.state} of ${users.join()}`;
    const group = isSingle ? undefined : groups.get(key);
    if (group !== undefined) {
      const into = shown[group];
      if (into !== undefined) {
        into.count += node.count;
        into.name = node.state;
        into.id = `group:${group}`;
        into.machine = null;
        into.startedAt = null;
        into.durationMs = null;
      }
      nextOf.push(group);
      continue;
    }
    groups.set(key, shown.length);
    nextOf.push(shown.length);
    shown.push({ ...node });
  }
  const known = new Set<string>();
  const kept: (readonly [number, number])[] = [];
  for (const [from, to] of edges) {
    const edge = [nextOf[from] ?? 0, nextOf[to] ?? 0] as const;
    const name = edge.join();
    if (edge[0] === edge[1] || known.has(name)) continue;
    known.add(name);
    kept.push(edge);
  }
  return { ...graph, nodes: shown, edges: kept };
}
