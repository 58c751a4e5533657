import { describe, expect, it } from "vitest";
import {
  childrenOf,
  kinshipOf,
  pair,
  possibleWorkers,
  servesClient,
  treeOf,
} from "../../../lib/builder/resources/build-processes.js";
import { combine } from "../../../lib/builder/resources/usage.js";

const process = (name: string, parent: number) => ({
  name,
  parent,
  startedMs: 0,
  userMs: 0,
  systemMs: 0,
  childUserMs: 0,
  childSystemMs: 0,
});

const table = new Map([
  [10, process("nix-daemon", 1)],
  [11, process("nix-daemon", 10)],
  [12, process("bash", 11)],
  [13, process("make", 12)],
  [14, process("cc1", 13)],
  [20, process("nix-daemon", 1)],
]);

describe("the processes of builds", () => {
  it("are below the workers of a daemon", () => {
    expect(possibleWorkers(table)).toEqual([11]);
    expect(treeOf(childrenOf(table), 12)).toEqual([12, 13, 14]);
  });

  it("belong to the client in the worker's command line", () => {
    expect(servesClient(["nix-daemon", "4711"], 4711)).toBe(true);
    expect(servesClient(["nix-daemon", "4711    "], 4711)).toBe(true);
    expect(servesClient(["nix-daemon", "4712"], 4711)).toBe(false);
    expect(servesClient(["nix-daemon", ""], 4711)).toBe(true);
  });

  it("are told apart by the outputs in their environment", () => {
    const outputs = new Map([["out", "/nix/store/a"]]);
    expect(kinshipOf("NIX_BUILD_TOP=/build\0out=/nix/store/a\0", outputs)).toBe("same");
    expect(kinshipOf("NIX_BUILD_TOP=/build\0out=/nix/store/b\0", outputs)).toBe("other");
    expect(kinshipOf("NIX_BUILD_TOP=/build\0", outputs)).toBe("unknown");
    expect(kinshipOf("out=/nix/store/b\0", outputs)).toBe("unknown");
    expect(kinshipOf(undefined, outputs)).toBe("unknown");
  });

  it("are paired with builds where that is certain, and left out where it is not", () => {
    expect(
      pair([
        { build: "a", root: 1, kinship: "unknown" },
        { build: "a", root: 2, kinship: "same" },
        { build: "b", root: 1, kinship: "unknown" },
      ]),
    ).toEqual(
      new Map([
        ["a", 2],
        ["b", 1],
      ]),
    );
    expect(
      pair([
        { build: "a", root: 1, kinship: "unknown" },
        { build: "a", root: 2, kinship: "unknown" },
        { build: "b", root: 3, kinship: "unknown" },
        { build: "c", root: 3, kinship: "unknown" },
      ]),
    ).toEqual(new Map());
  });
});

describe("what several observers saw", () => {
  const cpu = { userMs: 1.4, systemMs: 1 };

  it("is taken from the most exact one, and named after the least exact one used", () => {
    expect(combine({ daemon: { cpu }, cgroup: {}, samples: {} })).toEqual({
      source: "daemon",
      cpuUserMs: 1,
      cpuSystemMs: 1,
    });
    expect(
      combine({
        daemon: { cpu },
        cgroup: { cpu: { userMs: 9, systemMs: 9 }, peakMemory: 5 },
        samples: { peakMemory: 7 },
      }),
    ).toEqual({ source: "cgroup", cpuUserMs: 1, cpuSystemMs: 1, peakMemoryBytes: 5 });
    expect(
      combine({ daemon: { cpu }, cgroup: { peakMemory: 5 }, samples: { traffic: { read: 1, written: 2 } } }),
    ).toEqual({
      source: "samples",
      cpuUserMs: 1,
      cpuSystemMs: 1,
      peakMemoryBytes: 5,
      readBytes: 1,
      writtenBytes: 2,
    });
    expect(combine({ daemon: {}, cgroup: {}, samples: {} })).toBeUndefined();
  });
});
