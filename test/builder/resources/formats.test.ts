import { describe, expect, it } from "vitest";
import {
  buildGroupOf,
  parseControlGroup,
  parseGroupCpu,
  parseGroupMount,
  parseGroupPeak,
  parseGroupTraffic,
  parseProcessMemory,
  parseProcessStat,
  parseProcessTraffic,
} from "../../../lib/builder/resources/formats.js";

describe("a process", () => {
  // As Linux 6.18 wrote them for a build of Nix 2.8.
  const stat =
    "13763 (sh) R 13742 13763 13763 0 -1 256 202 316 1 0 85 3 7 6 20 0 1 0 3427913 2322432 377 18446744073709551615";

  it("has its times in hundredths of a second", () => {
    expect(parseProcessStat(stat)).toEqual({
      name: "sh",
      parent: 13742,
      startedMs: 34279130,
      userMs: 850,
      systemMs: 30,
      childUserMs: 70,
      childSystemMs: 60,
    });
  });

  it("may have any name", () => {
    expect(parseProcessStat(stat.replace("(sh)", "(a) R 1 (b)"))).toMatchObject({
      name: "a) R 1 (b",
      parent: 13742,
    });
  });

  it("that cannot be read has no numbers", () => {
    for (const text of ["", "13763 (sh", "13763 (sh) R 13742", "x (y) z ".repeat(9)]) {
      expect(parseProcessStat(text)).toBeUndefined();
    }
    expect(parseProcessMemory("Name:\tsh\nState:\tZ (zombie)\n")).toBeUndefined();
    expect(parseProcessTraffic("rchar: 1\n")).toBeUndefined();
  });

  it("has memory and traffic", () => {
    expect(parseProcessMemory("VmPeak:\t 9 kB\nVmHWM:\t    1628 kB\nVmRSS:\t    1000 kB\n")).toEqual({
      resident: 1024000,
      peak: 1667072,
    });
    expect(parseProcessTraffic("rchar: 1\nread_bytes: 8192\nwrite_bytes: 52543488\n")).toEqual({
      read: 8192,
      written: 52543488,
    });
  });
});

describe("a control group", () => {
  it("is that of one build, or none", () => {
    const group = "/system.slice/nix-daemon.service/nix-build-uid-30001";
    expect(buildGroupOf(group)).toBe(group);
    expect(buildGroupOf(`${group}/payload`)).toBe(group);
    expect(buildGroupOf("/user.slice/nix-build-pid-17-0")).toBe("/user.slice/nix-build-pid-17-0");
    expect(buildGroupOf("/system.slice/nix-daemon.service")).toBeUndefined();
    expect(buildGroupOf("/nix-build-uid-30001-more")).toBeUndefined();
  });

  it("is found in the unified hierarchy", () => {
    expect(parseControlGroup("9:name=systemd:/a\n0::/b/c\n")).toBe("/b/c");
    expect(parseControlGroup("9:name=systemd:/a\n")).toBeUndefined();
    expect(parseGroupMount("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n")).toBe("/sys/fs/cgroup");
    expect(parseGroupMount("cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n")).toBeUndefined();
  });

  it("has its times in microseconds and one line for each disk", () => {
    expect(parseGroupCpu("usage_usec 3000\nuser_usec 2000\nsystem_usec 1000\n")).toEqual({
      userMs: 2,
      systemMs: 1,
    });
    expect(parseGroupCpu("usage_usec 3000\n")).toBeUndefined();
    expect(parseGroupPeak("4096\n")).toBe(4096);
    expect(parseGroupPeak("max\n")).toBeUndefined();
    expect(
      parseGroupTraffic(
        "254:0 rbytes=10 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n8:0 rbytes=1 wbytes=2 rios=1\n",
      ),
    ).toEqual({ read: 11, written: 22 });
    expect(parseGroupTraffic("")).toEqual({ read: 0, written: 0 });
  });
});
