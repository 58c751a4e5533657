/** Where the nodes of a dependency graph stand: in layers, from what is wanted on the left to what it needs. Pure. */
import type { ApiGraph } from "../../../api/types.js";

/** A node's place: its layer and its row in it. */
export interface Place {
  readonly layer: number;
  readonly row: number;
}

/** Longest way from a node that nothing needs; a circle, which there should not be, is cut. */
function layersOf(
  count: number,
  needs: readonly (readonly number[])[],
  neededBy: readonly number[],
): number[] {
  const layers = Array.from({ length: count }, () => 0);
  const open = [...neededBy];
  const queue = open.flatMap((users, node) => (users === 0 ? [node] : []));
  for (let at = 0; at < queue.length; at++) {
    const node = queue[at] ?? 0;
    for (const next of needs[node] ?? []) {
      layers[next] = Math.max(layers[next] ?? 0, (layers[node] ?? 0) + 1);
      open[next] = (open[next] ?? 0) - 1;
      if (open[next] === 0) queue.push(next);
    }
  }
  return layers;
}

/** A place for each node. Rows of a layer follow the mean row of what needs them, so that few edges cross. */
export function placesOf({ nodes, edges }: Pick<ApiGraph, "nodes" | "edges">): readonly Place[] {
  const needs = nodes.map((): number[] => []);
  const users = nodes.map((): number[] => []);
  for (const [from, to] of edges) {
    needs[from]?.push(to);
    users[to]?.push(from);
  }
  const layers = layersOf(
    nodes.length,
    needs,
    users.map((list) => list.length),
  );
  const rows = nodes.map(() => 0);
  const byLayer: number[][] = [];
  for (const [node, layer] of layers.entries()) {
    byLayer[layer] ??= [];
    byLayer[layer].push(node);
  }
  for (const layer of byLayer) {
    const order = layer.map((node) => {
      const above = users[node] ?? [];
      const sum = above.reduce((total, user) => total + (rows[user] ?? 0), 0);
      return { node, mean: above.length === 0 ? node : sum / above.length };
    });
    order.sort((a, b) => a.mean - b.mean || a.node - b.node);
    for (const [row, { node }] of order.entries()) rows[node] = row;
  }
  return nodes.map((_, node) => ({ layer: layers[node] ?? 0, row: rows[node] ?? 0 }));
}
