/**
 * Which processes are a build's. The daemon forks a worker for each connection and writes the client's process number
 * into its command line; a worker runs one build of ours at a time, as its child.
 */
import type { ProcessTable } from "./processes.js";

/** Programs that a worker of the daemon can be. */
const daemonNames = new Set(["nix-daemon", "nix"]);

/** Processes that may be workers of a Nix daemon: they have the name of their parent, which is one. */
export function possibleWorkers(table: ProcessTable): number[] {
  return [...table]
    .filter(([, { name, parent }]) => daemonNames.has(name) && table.get(parent)?.name === name)
    .map(([pid]) => pid);
}

/** Whether a worker serves the client `pid`, by its command line. One that names no client may. */
export function servesClient(commandLine: readonly string[], pid: number): boolean {
  const client = /^\d+/.exec(commandLine[1] ?? "")?.[0];
  return client === undefined || Number(client) === pid;
}

/** The numbers of all children, by parent. */
export function childrenOf(table: ProcessTable): ReadonlyMap<number, readonly number[]> {
  const children = new Map<number, number[]>();
  for (const [pid, { parent }] of table) {
    const siblings = children.get(parent);
    if (siblings === undefined) children.set(parent, [pid]);
    else siblings.push(pid);
  }
  return children;
}

/** `root` and everything below it. */
export function treeOf(children: ReadonlyMap<number, readonly number[]>, root: number): readonly number[] {
  // A set grows while it is walked, and the walk sees what is added.
  const tree = new Set([root]);
  for (const pid of tree) for (const child of children.get(pid) ?? []) tree.add(child);
  return [...tree];
}

/** What the environment of a process says about the build that it belongs to. */
export type Kinship = "same" | "other" | "unknown";

/** Compares output paths, by output name, with the environment that Nix gives a build; undefined: it cannot be read. */
export function kinshipOf(environment: string | undefined, outputs: ReadonlyMap<string, string>): Kinship {
  if (environment === undefined || outputs.size === 0) return "unknown";
  const values = new Map(
    environment.split("\0").map((entry) => {
      const at = entry.indexOf("=");
      return [entry.slice(0, at), entry.slice(at + 1)] as const;
    }),
  );
  // Before it runs its program, a child has the environment of its daemon; a structured one has no outputs in it.
  if (!values.has("NIX_BUILD_TOP")) return "unknown";
  let seen = false;
  for (const [name, path] of outputs) {
    const value = values.get(name);
    if (value === undefined) continue;
    if (value !== path) return "other";
    seen = true;
  }
  return seen ? "same" : "unknown";
}

/** A build whose processes are looked for, and a process that may be its first. */
export interface Candidate<B> {
  readonly build: B;
  readonly root: number;
  readonly kinship: Kinship;
}

/**
 * Pairs builds with processes: by what the environment says, and where it says nothing by there being one possibility
 * only. What stays ambiguous is left out.
 */
export function pair<B>(candidates: readonly Candidate<B>[]): Map<B, number> {
  const pairs = new Map<B, number>();
  const taken = new Set<number>();
  for (const { build, root, kinship } of candidates) {
    if (kinship !== "same" || pairs.has(build)) continue;
    pairs.set(build, root);
    taken.add(root);
  }
  const open = candidates.filter(
    ({ build, root, kinship }) => kinship === "unknown" && !pairs.has(build) && !taken.has(root),
  );
  for (const { build, root } of open) {
    const rivals = open.filter((other) => other.build === build || other.root === root);
    if (rivals.length === 1) pairs.set(build, root);
  }
  return pairs;
}
