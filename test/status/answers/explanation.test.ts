/** Every answer to "why does this step not run", printed. */
import { expect, it } from "vitest";
import { attemptId, machineId, stepId } from "../../../lib/scheduler/index.js";
import { blockJson, explanationJson } from "../../../lib/status/answers/explanation.js";
import type { StepExplanation } from "../../../lib/status/index.js";

const time = Date.UTC(2026, 10, 24, 2, 9);
const text = "2026-11-24T02:09:00Z";
const machine = machineId("6F9619FF-8B86-D011-B42D-00C04FC964FF");
const step = stepId("a.drv");

it.each<[StepExplanation, object]>([
  [{ code: "unknown" }, {}],
  [{ code: "finished", status: 0 }, { status: 0 }],
  [
    { code: "finished", status: 1, at: time },
    { status: 1, at: text },
  ],
  [{ code: "resolved", to: step }, { to: step }],
  [
    { code: "running", machine, hostname: "h", attempt: attemptId("x"), since: time, phase: "building" },
    // The attempt's identifier is a secret between runner and machine.
    { machine, hostname: "h", since: text, phase: "building" },
  ],
  [
    { code: "waitingForInputs", inputs: [step], count: 2 },
    { inputs: [step], count: 2 },
  ],
  [{ code: "waitingForDynamicInputs", producers: [step] }, { producers: [step] }],
  [{ code: "gated", gate: "upload" }, { gate: "upload" }],
  [
    { code: "retryLater", at: time, tries: 1, maxTries: 5, reason: undefined },
    { at: text, tries: 1, maxTries: 5 },
  ],
  [
    { code: "retryLater", at: time, tries: 1, maxTries: 5, reason: "lost" },
    { at: text, tries: 1, maxTries: 5, reason: "lost" },
  ],
  [
    {
      code: "machinesBusy",
      machines: [{ machine, hostname: "h", block: { kind: "held", until: time, failures: 2 } }],
      position: 3,
    },
    {
      machines: [{ machine, hostname: "h", block: { kind: "held", until: text, failures: 2 } }],
      position: 3,
    },
  ],
  [{ code: "nextInLine", position: 1 }, { position: 1 }],
])("%j", (explanation, members) => {
  expect(JSON.parse(JSON.stringify(explanationJson(explanation)))).toEqual({
    code: explanation.code,
    ...members,
  });
});

it.each([
  { kind: "full", jobs: 4, maxJobs: 4 },
  { kind: "uploads", uploads: 4, limit: 4 },
  { kind: "threshold", what: "load1", value: 9.5, limit: 8 },
  { kind: "noPing" },
  { kind: "burst", until: time },
  { kind: "held", until: time, failures: 3 },
  { kind: "held", until: time, failures: 3, fault: "diskFull" },
  { kind: "probing" },
  { kind: "storeSilent", reason: "it hangs" },
  { kind: "draining" },
  { kind: "disconnected", until: time },
  { kind: "avoided" },
] as const)("a machine with %j keeps every member", (block) => {
  expect(blockJson(block, (until) => until)).toEqual(block);
});
