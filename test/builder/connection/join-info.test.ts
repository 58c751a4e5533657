import { tmpdir } from "node:os";
import { describe, expect, test } from "vitest";
import { joinMessage, pingMessage } from "../../../lib/builder/connection/join-info.js";
import { newCounters } from "../../../lib/builder/counters.js";
import {
  defaultBuildDir,
  parseExperimentalFeatures,
  parseNixConfiguration,
} from "../../../lib/builder/machine/nix-configuration.js";
import { builderSettings, nixConfiguration } from "../../support/builder-settings.js";

const facts = { count: 2, bogomips: 4599.99, totalMemory: 1 << 30 };

describe("a join", () => {
  const machine = { hostname: "vm", settings: builderSettings, nix: nixConfiguration, facts };

  test("takes systems and features from Nix when the settings have none, each once", () => {
    const nix = {
      ...nixConfiguration,
      system: "x86_64-linux",
      extraPlatforms: ["i686-linux", "x86_64-linux"],
    };
    expect(joinMessage("id", { ...machine, nix })).toMatchObject({
      machineId: "id",
      systems: ["x86_64-linux", "i686-linux"],
      supportedFeatures: ["kvm"],
      cpuCount: 2,
      totalMem: 1 << 30,
    });
  });

  test("takes an empty list as none", () => {
    const settings = { ...builderSettings, systems: [], supportedFeatures: [] };
    expect(joinMessage("id", { ...machine, settings })).toMatchObject({ systems: [], supportedFeatures: [] });
  });
});

test("a ping carries the sample and what is on the move", () => {
  const counters = { ...newCounters(), uploading: 1, downloading: 2, substituting: 3 };
  const sample = {
    load: [1, 2, 3] as const,
    memoryUsed: 5,
    pressure: undefined,
    buildDirFreePercent: 50,
    storeFreePercent: 40,
  };
  expect(pingMessage("id", sample, counters)).toMatchObject({
    load1: 1,
    load15: 3,
    memUsage: 5,
    currentUploadingPathCount: 1,
    currentDownloadingPathCount: 2,
    currentSubstitutingPathCount: 3,
  });
});

describe("settings of Nix", () => {
  test("are read whatever their shape", () => {
    const text = JSON.stringify({
      system: { value: "aarch64-linux" },
      "extra-platforms": { value: ["armv7l-linux"] },
      "system-features": { value: "kvm big-parallel" },
      substituters: { value: ["https://cache.example.org/?priority=1"] },
      "build-dir": { value: null },
    });
    expect(parseNixConfiguration(text, "nix (Nix) 2.26.3")).toEqual({
      system: "aarch64-linux",
      extraPlatforms: ["armv7l-linux"],
      systemFeatures: ["kvm", "big-parallel"],
      substituters: ["https://cache.example.org/?priority=1"],
      useCgroups: false,
      buildDir: undefined,
      nixVersion: "nix (Nix) 2.26.3",
    });
  });

  test("experimental features imply the system features that Nix adds for them", () => {
    const text = JSON.stringify({
      "system-features": { value: ["kvm", "ca-derivations"] },
      "experimental-features": { value: [0, 4] },
    });
    const named = parseExperimentalFeatures(
      "cores = 1\nexperimental-features = ca-derivations flakes recursive-nix\nfsync = true\n",
    );
    expect(parseNixConfiguration(text, "", named).systemFeatures).toEqual([
      "kvm",
      "ca-derivations",
      "recursive-nix",
    ]);
    expect(parseNixConfiguration(text, "").systemFeatures).toEqual(["kvm", "ca-derivations"]);
  });

  test.each(["", "[", "7", "null"])("%j is an error", (text) => {
    expect(() => parseNixConfiguration(text, "")).toThrow(
      expect.objectContaining({ code: "nix-configuration" }),
    );
  });
});

test("newer Nix builds in a folder of its own, older ones in the temporary one", () => {
  expect(defaultBuildDir("2.30.1", "/nix/var/nix")).toBe("/nix/var/nix/builds");
  expect(defaultBuildDir("3.1", "/state")).toBe("/state/builds");
  expect(defaultBuildDir("2.8.0", "/nix/var/nix")).toBe(tmpdir());
  expect(defaultBuildDir("", "/nix/var/nix")).toBe(tmpdir());
});
