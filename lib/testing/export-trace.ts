/** Makes a trace from the history in Hydra's database and the derivations that are still in the store. */

import { createHmac, randomBytes } from "node:crypto";
import { aFlag, aSignal, aStore, checkMembers, having, optional } from "../argument-checks.js";
import type { BuildHistory, EndedBuild, EndedStep } from "../database/index.js";
import { requiredSystemFeatures } from "../nix/derivation/derivation.js";
import type { Store } from "../nix/index.js";
import {
  derivationName,
  isDerivationPath,
  parseAnyStorePath,
  type StorePath,
} from "../nix/path/store-path.js";
import { addTo } from "./grouped.js";
import type { Trace, TraceBuild, TraceMachine, TraceStep } from "./trace.js";

/** What a trace is made from. */
export interface ExportTraceOptions {
  /** `HydraDatabase`, or anything else that answers this question. Times in Unix seconds. */
  readonly database: { buildHistory(since: number, until: number): Promise<BuildHistory> };
  /** Where derivations are read from; a step whose derivation is gone has neither inputs nor features in the trace. */
  readonly store: Pick<Store, "storeDir" | "readDerivation">;
  /** Begin of the span, Unix seconds. Builds that were queued before count as queued at this time. */
  readonly since: number;
  /** End of the span, Unix seconds; not included. */
  readonly until: number;
  /**
   * Replaces names of projects, jobsets, packages and machines, and hashes of derivations, by keyed hashes whose key is
   * forgotten: a trace can be shown to others. Systems and features stay. Default false.
   */
  readonly hashNames?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A trace, and what is missing in it. */
export interface ExportedTrace {
  readonly trace: Trace;
  /** Steps whose derivation could not be read. */
  readonly unreadable: number;
  /** Builds that were left out because nothing was built for them in the span. */
  readonly cachedBuilds: number;
}

interface Facts {
  readonly inputs: readonly StorePath[];
  readonly features: readonly string[];
}

/**
 * The most steps that ran on a machine at the same time, as far as whole seconds show it: a step that began in the second
 * in which another ended counts as its successor.
 */
function mostAtOnce(steps: readonly EndedStep[]): number {
  const lasting = steps.filter(({ startTime, stopTime }) => stopTime > startTime);
  const changes = lasting.flatMap(({ startTime, stopTime }) => [
    { at: startTime, by: 1 },
    { at: stopTime, by: -1 },
  ]);
  changes.sort((a, b) => a.at - b.at || a.by - b.by);
  let now = 0;
  let most = 0;
  for (const { by } of changes) {
    now += by;
    most = Math.max(most, now);
  }
  return Math.max(1, most);
}

/** Names as they are, or hashed with a key that is not kept. */
function naming(hashed: boolean): (kind: string, name: string) => string {
  if (!hashed) return (_kind, name) => name;
  const key = randomBytes(32);
  return (kind, name) =>
    `${kind}-${createHmac("sha256", key).update(`${kind}:${name}`).digest("hex").slice(0, 16)}`;
}

/**
 * Reads what was built in a span of time. The fleet is what the history shows: each machine with the systems and features
 * of the steps that it built, and as many slots as it used at once.
 *
 * @throws DatabaseError, or the reason of `signal`
 */
export async function exportTrace(options: ExportTraceOptions): Promise<ExportedTrace> {
  checkMembers("exportTrace", options, {
    database: having("an open HydraDatabase", ["buildHistory"]),
    store: aStore,
    hashNames: optional(aFlag),
    signal: optional(aSignal),
  });
  const { database, store, since, until, hashNames = false, signal } = options;
  const history = await database.buildHistory(since, until);
  const rows = new Map<StorePath, EndedStep>();
  for (const row of history.steps) {
    const drv = derivationPath(store, row.drvPath);
    if (drv !== undefined) rows.set(drv, row);
  }
  const facts = new Map<StorePath, Facts>();
  let unreadable = 0;
  for (const drv of rows.keys()) {
    signal?.throwIfAborted();
    try {
      const derivation = await store.readDerivation(drv, signal === undefined ? {} : { signal });
      const inputs = [...derivation.inputDerivations.keys()].filter((input) => rows.has(input));
      facts.set(drv, { inputs, features: requiredSystemFeatures(derivation) });
    } catch {
      signal?.throwIfAborted();
      unreadable++;
      facts.set(drv, { inputs: [], features: [] });
    }
  }
  const name = naming(hashNames);
  const drvName = (drv: StorePath): string => (hashNames ? `${name("drv", drv)}.drv` : drv);
  const steps = [...rows].map(([drv, row]): TraceStep => {
    const { inputs = [], features = [] } = facts.get(drv) ?? {};
    return {
      drv: drvName(drv),
      name: name("package", derivationName(drv)),
      system: row.system === "" ? "unknown" : row.system,
      features,
      inputs: inputs.map(drvName),
      durationMs: (row.stopTime - row.startTime) * 1000,
    };
  });
  const builds = history.builds.flatMap((row): TraceBuild[] => {
    const drv = derivationPath(store, row.drvPath);
    return drv === undefined || !rows.has(drv) ? [] : [buildOf(row, drvName(drv), since, name)];
  });
  const trace: Trace = {
    formatVersion: 1,
    shares: Object.fromEntries(
      history.builds.map(({ project, jobset, shares }) => [
        `${name("project", project)}:${name("jobset", jobset)}`,
        shares,
      ]),
    ),
    machines: fleetOf(rows, facts, name),
    steps,
    builds,
  };
  return { trace, unreadable, cachedBuilds: history.builds.length - builds.length };
}

function buildOf(
  row: EndedBuild,
  drv: string,
  since: number,
  name: (kind: string, name: string) => string,
): TraceBuild {
  return {
    id: row.id,
    project: name("project", row.project),
    jobset: name("jobset", row.jobset),
    drv,
    queuedMs: Math.max(0, row.timestamp - since) * 1000,
    globalPriority: row.globalPriority,
    localPriority: row.localPriority,
  };
}

function fleetOf(
  rows: ReadonlyMap<StorePath, EndedStep>,
  facts: ReadonlyMap<StorePath, Facts>,
  name: (kind: string, name: string) => string,
): TraceMachine[] {
  const byMachine = new Map<string, [StorePath, EndedStep][]>();
  for (const entry of rows) addTo(byMachine, entry[1].machine, entry);
  return [...byMachine].map(([machine, entries]) => ({
    hostname: machine === "" ? "unknown" : name("machine", machine),
    systems: [...new Set(entries.map(([, row]) => (row.system === "" ? "unknown" : row.system)))].toSorted(),
    features: [...new Set(entries.flatMap(([drv]) => facts.get(drv)?.features ?? []))].toSorted(),
    maxJobs: mostAtOnce(entries.map(([, row]) => row)),
  }));
}

function derivationPath({ storeDir }: Pick<Store, "storeDir">, text: string): StorePath | undefined {
  try {
    const path = parseAnyStorePath(storeDir, text);
    return isDerivationPath(path) ? path : undefined;
  } catch {
    return undefined;
  }
}
