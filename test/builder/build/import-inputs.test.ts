import { setImmediate as turn } from "node:timers/promises";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InputImporter } from "../../../lib/builder/build/import-inputs.js";
import { RunnerLink } from "../../../lib/builder/connection/runner-link.js";
import { newCounters } from "../../../lib/builder/counters.js";
import { silentLogger } from "../../../lib/log.js";
import { dumpTree } from "../../../lib/nix/nar/writer.js";
import { parseStorePath, type StorePath } from "../../../lib/nix/path/store-path.js";
import type { ValidPathInfo } from "../../../lib/nix/store/path-info.js";
import type { RootsSession, Store } from "../../../lib/nix/store/store.js";
import { packNars } from "../../../lib/rpc/index.js";
import type { RunnerApi } from "../../../lib/rpc/types.js";
import { pathInfo } from "../../support/path-info.js";

function pathOf(index: number): StorePath {
  return parseStorePath(`${String(index).padStart(32, "0")}-p${index}`);
}

const nar = Buffer.concat([...dumpTree({ kind: "regular", contents: Buffer.from("contents") })]);

/** Path number i may refer to smaller numbers only. */
function infosOf(graph: readonly (readonly number[])[]): ValidPathInfo[] {
  return graph.map((references, index) =>
    pathInfo(pathOf(index), nar, {
      references: [...new Set(references.filter((reference) => reference < index))].map(pathOf),
    }),
  );
}

interface World {
  readonly importer: InputImporter;
  readonly valid: Set<StorePath>;
  readonly rooted: Set<StorePath>;
  readonly added: StorePath[];
  readonly transfers: () => number;
  readonly most: () => number;
  readonly import: (root: number, signal?: AbortSignal) => Promise<ReadonlySet<StorePath>>;
}

/** A store that takes a path only when its references are there and a root was taken before. */
function world(
  infos: readonly ValidPathInfo[],
  options: {
    readonly limit?: number;
    readonly onTransfer?: (count: number) => Promise<void>;
    /** What the runner sends instead of what was asked for. */
    readonly alter?: (wanted: readonly ValidPathInfo[]) => readonly ValidPathInfo[];
  } = {},
): World {
  const byPath = new Map(infos.map((info) => [info.path, info]));
  const valid = new Set<StorePath>();
  const rooted = new Set<StorePath>();
  const added: StorePath[] = [];
  let transfers = 0;
  let running = 0;
  let most = 0;
  const closure = (path: StorePath, found = new Set<StorePath>()): Set<StorePath> => {
    for (const reference of byPath.get(path)?.references ?? []) closure(reference, found);
    return found.add(path);
  };
  const store = {
    queryValidPaths: async (paths: readonly StorePath[]) => {
      await turn();
      return new Set(paths.filter((path) => valid.has(path)));
    },
    addMultipleToStore: async (
      items: AsyncIterable<{ readonly info: ValidPathInfo; readonly nar: AsyncIterable<Uint8Array> }>,
      _count: number,
      { signal }: { readonly signal: AbortSignal },
    ) => {
      for await (const { info, nar: contents } of items) {
        for await (const _ of contents);
        await turn();
        signal.throwIfAborted();
        for (const reference of info.references) {
          if (!valid.has(reference)) throw new Error(`${reference} is not valid`);
        }
        expect(rooted).toContain(info.path);
        valid.add(info.path);
        added.push(info.path);
      }
    },
  } as unknown as Store;
  const api = {
    fetchRequisites: async (paths: readonly StorePath[]) => [
      ...new Set(paths.flatMap((path) => [...closure(path)])),
    ],
    fetchPaths: async (paths: readonly StorePath[]) => {
      most = Math.max(most, ++running);
      try {
        await options.onTransfer?.(++transfers);
        const wanted = paths.flatMap((path) => byPath.get(path) ?? []);
        return packNars(options.alter?.(wanted) ?? wanted, async function* () {
          yield nar;
        });
      } finally {
        running--;
      }
    },
  } as unknown as RunnerApi;
  const link = new RunnerLink();
  link.attach(api, false);
  const importer = new InputImporter({
    store,
    link,
    useSubstitutes: () => false,
    counters: newCounters(),
    logger: silentLogger,
  });
  importer.maxConcurrentDownloads = options.limit ?? 5;
  const roots = {
    addTempRoots: async (paths: readonly StorePath[]) => {
      for (const path of paths) rooted.add(path);
    },
  } as unknown as RootsSession;
  return {
    importer,
    valid,
    rooted,
    added,
    transfers: () => transfers,
    most: () => most,
    import: (root, signal = new AbortController().signal) =>
      importer.import([pathOf(root)], { roots, signal }),
  };
}

const graphs = fc.array(fc.array(fc.nat(30), { maxLength: 4 }), { minLength: 1, maxLength: 30 });

describe("importing inputs", () => {
  test("takes nothing from the runner that was not asked for", async () => {
    const infos = infosOf([[], []]);
    const more = world(infos, { alter: (wanted) => [...wanted, ...infos.slice(1)] });
    await expect(more.import(0)).rejects.toThrow(`the runner sends ${pathOf(1)}, which was not asked for`);
    expect(more.added).toEqual([]);
    const twice = world(infos, { alter: (wanted) => [...wanted, ...wanted] });
    await expect(twice.import(0)).rejects.toThrow("the runner sends a path more than once");
    expect(twice.added).toEqual([]);
  });

  test("makes closures valid in order, each path once, however many builds want them at once", async () => {
    await fc.assert(
      fc.asyncProperty(
        graphs,
        fc.array(fc.nat(29), { minLength: 1, maxLength: 5 }),
        async (graph, wanted) => {
          const infos = infosOf(graph);
          const { valid, added, most, ...rest } = world(infos, { limit: 2 });
          const roots = wanted.map((root) => root % graph.length);
          const known = await Promise.all(roots.map((root) => rest.import(root)));
          known.forEach((paths, index) => {
            expect(paths).toContain(pathOf(roots[index] ?? -1));
            for (const path of paths) expect(valid).toContain(path);
          });
          expect(new Set(added).size).toBe(added.length);
          expect(most()).toBeLessThanOrEqual(2);
        },
      ),
      { numRuns: 60 },
    );
  });

  test("goes on for the others when one of the builds is aborted", async () => {
    await fc.assert(
      fc.asyncProperty(graphs, fc.nat(10), async (graph, turns) => {
        const last = graph.length - 1;
        const { valid, ...rest } = world(infosOf(graph));
        const stop = new AbortController();
        const aborted = rest.import(last, stop.signal).catch(() => undefined);
        const other = rest.import(last);
        for (let count = 0; count < turns; count++) await turn();
        stop.abort(new Error("aborted"));
        await aborted;
        for (const path of await other) expect(valid).toContain(path);
      }),
      { numRuns: 40 },
    );
  });

  test("fails with the runner's words when a transfer fails, and can be tried again", async () => {
    const { valid, ...rest } = world(infosOf([[], [0]]), {
      onTransfer: async (count) => {
        if (count === 1) throw new Error("no disk");
      },
    });
    await expect(rest.import(1)).rejects.toThrow("no disk");
    await rest.import(1);
    expect(valid.size).toBe(2);
    expect(rest.transfers()).toBe(2);
  });

  test("of nothing asks nobody", async () => {
    const { importer } = world([]);
    const options = { roots: {} as RootsSession, signal: new AbortController().signal };
    expect(await importer.import([], options)).toEqual(new Set());
  });
});
