import { describe, expect, it } from "vitest";
import type { BuildState, FailureCause } from "../../../lib/rpc/types.js";
import { outcomeOf } from "../../../lib/runner/state/build-report.js";

const says = (state: BuildState, error: string | undefined, cause?: FailureCause) =>
  outcomeOf({ state, error, cause });

describe("the report of a builder of ours", () => {
  it.each<readonly [BuildState, FailureCause | undefined, object]>([
    ["buildFailure", undefined, { kind: "failed", status: 1 }],
    ["buildFailure", "transient", { kind: "retryable", exhausted: 1, evidence: { says: "works" } }],
    ["preparingFailure", "other", { kind: "retryable", exhausted: 3, evidence: { says: "nothing" } }],
    ["preparingFailure", "daemon", { exhausted: 3, evidence: { says: "broken", fault: "daemon" } }],
    ["importFailure", "inputs", { exhausted: 3, evidence: { says: "broken", fault: "inputs" } }],
    ["importFailure", "other", { exhausted: 3, evidence: { says: "nothing" } }],
    ["timedOut", "daemon", { kind: "failed", status: 7 }],
  ])("%s because of %s", (state, cause, outcome) => {
    expect(says(state, "text", cause)).toMatchObject(outcome);
  });
});

describe("the report of another builder", () => {
  const drv = "sll0g9f2iyk29425gl5k0wk4kf4klqgq-source.drv";

  it.each<readonly [BuildState, string | undefined, object]>([
    ["buildFailure", undefined, { kind: "failed", status: 1 }],
    ["buildFailure", `Build of '${drv}' failed: permanent failure (see log)`, { kind: "failed", status: 1 }],
    ["buildFailure", `Build of '${drv}' failed: output rejected (see log)`, { kind: "failed", status: 1 }],
    [
      "buildFailure",
      `Build of '${drv}' failed: transient failure (see log)`,
      { kind: "retryable", exhausted: 1, evidence: { says: "works" } },
    ],
    [
      "buildFailure",
      `Build of '${drv}' failed: misc failure (see log)`,
      { kind: "retryable", exhausted: 3, evidence: { says: "nothing" } },
    ],
    [
      "buildFailure",
      "Failed to build: unexpected end-of-file",
      { kind: "retryable", exhausted: 3, evidence: { says: "broken", fault: "daemon" } },
    ],
    ["preparingFailure", "the order came without a derivation", { evidence: { says: "nothing" } }],
    ["importFailure", "stream reset", { evidence: { says: "broken", fault: "inputs" } }],
    ["importFailure", "path '/nix/store/x' is not valid", { evidence: { says: "nothing" } }],
    ["importFailure", "write: No space left on device", { evidence: { says: "broken", fault: "diskFull" } }],
    ["uploadFailure", "the bucket said 503", { evidence: { says: "nothing" } }],
  ])("%s with %j", (state, error, outcome) => {
    expect(says(state, error)).toMatchObject(outcome);
  });
});
