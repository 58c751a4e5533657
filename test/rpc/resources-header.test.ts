import { describe, expect, it } from "vitest";
import { resourcesFromHeader, resourcesToHeader } from "../../lib/rpc/convert/resources.js";
import type { BuildResources } from "../../lib/rpc/types.js";

describe("the header with what a build used", () => {
  it("brings every number across, and only those that were measured", () => {
    const all: BuildResources = {
      source: "samples",
      cpuUserMs: 1,
      cpuSystemMs: 0,
      peakMemoryBytes: 2 ** 40,
      readBytes: 4,
      writtenBytes: 5,
    };
    expect(resourcesFromHeader(resourcesToHeader(all))).toEqual(all);
    const some: BuildResources = { source: "daemon", cpuUserMs: 1.6, cpuSystemMs: 3 };
    expect(resourcesToHeader(some)).toBe("daemon;cu=2;cs=3");
  });

  it("may come from a newer builder", () => {
    expect(resourcesFromHeader("cgroup;x=y;m=1;cu=1.5")).toEqual({ source: "cgroup", peakMemoryBytes: 1 });
  });

  it("is ignored when it cannot be true", () => {
    for (const text of ["", "daemon", "daemon;cu=-1", "guess;cu=1", "cgroup;m=NaN", "cgroup;m=1e3"]) {
      expect(resourcesFromHeader(text), text).toBeUndefined();
    }
    expect(resourcesFromHeader(`samples;cu=1;m=${2 ** 50};r=9999999999999999`)).toEqual({
      source: "samples",
      cpuUserMs: 1,
    });
    expect(resourcesFromHeader(`samples;cu=1;${"x=1;".repeat(100)}`)).toBeUndefined();
    expect(resourcesFromHeader(["samples;cu=1"])).toBeUndefined();
    expect(resourcesFromHeader(undefined)).toBeUndefined();
    expect(resourcesToHeader({ source: "samples", cpuUserMs: Number.NaN })).toBe("samples");
  });
});
