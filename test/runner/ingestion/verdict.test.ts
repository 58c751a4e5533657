// Verdicts on derivations by what is known of their outputs.
import { describe, expect, it } from "vitest";
import type { StorePath } from "../../../lib/nix/path/store-path.js";
import { judge, type OutputEvidence } from "../../../lib/runner/ingestion/verdict.js";
import type { StepFacts } from "../../../lib/runner/state/derivation-catalog.js";

const path = (name: string) => `${"0".repeat(32)}-${name}` as StorePath;
const [out, dev] = [path("out"), path("dev")];

function factsOf(...outputs: readonly (readonly [string, StorePath | undefined])[]): StepFacts {
  return {
    drv: path("x.drv"),
    name: "x",
    system: "x86_64-linux",
    features: [],
    preferLocal: false,
    outputs: new Map(outputs),
    inputs: [],
    needsResolution: false,
    impure: false,
  };
}

const both = factsOf(["dev", dev], ["out", out]);

const nothing: OutputEvidence = {
  valid: new Set(),
  failed: new Set(),
  presence: new Map(),
  inOverflow: new Set(),
  uploadMode: "through-runner",
};

function verdict(evidence: Partial<OutputEvidence>, facts = both) {
  return judge(facts, { ...nothing, ...evidence }).kind;
}

describe("a derivation", () => {
  it("is complete when all its outputs are in the store", () => {
    expect(verdict({ valid: new Set([out, dev]) })).toBe("complete");
    expect(verdict({ valid: new Set([out]) })).toBe("missing");
    expect(verdict({})).toBe("missing");
  });

  it("is missing as long as an output's path is unknown", () => {
    expect(verdict({ valid: new Set([out]) }, factsOf(["dev", undefined], ["out", out]))).toBe("missing");
  });

  it("failed before when one of its outputs did, whatever else is known", () => {
    expect(verdict({ valid: new Set([out, dev]), failed: new Set([dev]) })).toBe("failedBefore");
    expect(verdict({ failed: new Set([out]) }, factsOf(["dev", undefined], ["out", out]))).toBe(
      "failedBefore",
    );
  });

  it("is complete in the cache only where builders fill it", () => {
    const presence = new Map([
      [out, "present"],
      [dev, "present"],
    ] as const);
    expect(verdict({ presence, uploadMode: "from-builders" })).toBe("complete");
    expect(verdict({ presence, uploadMode: "through-runner" })).toBe("missing");
    const absent = new Map([
      [out, "present"],
      [dev, "absent"],
    ] as const);
    expect(verdict({ presence: absent, uploadMode: "from-builders" })).toBe("missing");
    expect(verdict({ presence: absent, valid: new Set([dev]), uploadMode: "from-builders" })).toBe(
      "complete",
    );
  });

  it("is uploading when the overflow store has what is not there", () => {
    const evidence = { inOverflow: new Set([out]), uploadMode: "from-builders" } as const;
    expect(verdict({ ...evidence, valid: new Set([dev]) })).toBe("uploading");
    expect(verdict(evidence)).toBe("missing");
    expect(verdict({ ...evidence, inOverflow: new Set([out, dev]) })).toBe("uploading");
  });
});
