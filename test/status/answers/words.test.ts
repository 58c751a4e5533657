// What the page says in words.
import { describe, expect, it } from "vitest";
import { type MachineBlock, machineId, stepId } from "../../../lib/scheduler/index.js";
import { explanationWords, resultWords, spanWords } from "../../../lib/status/answers/words.js";
import type { StepExplanation } from "../../../lib/status/index.js";

const now = Date.UTC(2026, 10, 28, 12);
const busy = (...blocks: MachineBlock[]): StepExplanation => ({
  code: "machinesBusy",
  machines: blocks.map((block, index) => ({
    machine: machineId(`m${index}`),
    hostname: `mac-${index}`,
    block,
  })),
  position: 1,
});

describe("why a step does not run", () => {
  it.each<[StepExplanation, string]>([
    [
      {
        code: "unsupported",
        system: "x86_64-linux",
        systemKnown: true,
        features: ["kvm"],
        missingFeatures: ["kvm"],
        since: now - 20_000,
        failsAt: now + 100_000,
      },
      "no machine offers kvm; fails in 1 min 40 s",
    ],
    [
      {
        code: "unsupported",
        system: "x86_64-linux",
        systemKnown: true,
        features: ["kvm", "big"],
        missingFeatures: [],
        since: now,
        failsAt: now,
      },
      "no machine offers all its features at once; fails in 0 s",
    ],
    [{ code: "waitingForInputs", inputs: [stepId("a.drv")], count: 1 }, "waits for 1 input"],
    [{ code: "waitingForInputs", inputs: [stepId("a.drv")], count: 21_000 }, "waits for 21,000 inputs"],
    [
      { code: "retryLater", at: now + 60_000, tries: 1, maxTries: 5, reason: "the connection was lost" },
      "try 2 of 5 in 1 min 0 s: the connection was lost",
    ],
    [busy({ kind: "full", jobs: 4, maxJobs: 4 }), "mac-0 full (4 of 4)"],
    [
      busy(
        { kind: "held", until: now + 300_000, failures: 3, fault: undefined },
        { kind: "threshold", what: "store", value: 3.14, limit: 5 },
        { kind: "draining" },
        { kind: "noPing" },
        { kind: "avoided" },
      ),
      "mac-0 held for 5 min 0 s after 3 failures, mac-1 too little space in the store (3.1, limit 5), mac-2 draining, and 2 more",
    ],
    [busy({ kind: "storeSilent", reason: "hangs" }), "mac-0 Nix daemon does not answer"],
    [{ code: "nextInLine", position: 1 }, "next"],
    [{ code: "nextInLine", position: 7900 }, "place 7,900"],
    [{ code: "gated", gate: "upload" }, "waits for an upload"],
    [{ code: "unknown" }, "not known"],
  ])("%j", (explanation, words) => {
    expect(explanationWords(explanation, now)).toBe(words);
  });
});

it.each([
  [0, "succeeded"],
  [2, "dependency failed"],
  [7, "timed out"],
  [99, "status 99"],
])("result %d is %s", (status, words) => {
  expect(resultWords(status)).toBe(words);
});

it.each([
  [-5, "0 s"],
  [59_400, "59 s"],
  [3_600_000, "1 h 0 min"],
  [90_061_000, "1 d 1 h"],
])("%d ms are %s", (ms, words) => {
  expect(spanWords(ms)).toBe(words);
});
