// Settings of a builder in tests: the defaults, and a Nix that needs no program.
import type { BuilderSettings, NixConfiguration } from "../../lib/builder/index.js";

export const builderSettings: BuilderSettings = {
  pingInterval: 10,
  speedFactor: 1,
  maxJobs: 4,
  buildCores: 0,
  buildDirAvailThreshold: 10,
  storeAvailThreshold: 10,
  load1Threshold: 8,
  cpuPsiThreshold: 75,
  memPsiThreshold: 80,
  ioPsiThreshold: undefined,
  systems: undefined,
  supportedFeatures: undefined,
  mandatoryFeatures: [],
  useSubstitutes: false,
};

export const nixConfiguration: NixConfiguration = {
  system: "x86_64-linux",
  extraPlatforms: [],
  systemFeatures: ["kvm"],
  substituters: [],
  useCgroups: false,
  buildDir: undefined,
  nixVersion: "nix (Nix) 2.26.3",
};
