import { describe, expect, test } from "vitest";
import { errorReport, reportText } from "../../../lib/builder/build/error-text.js";
import { BuildFailure, failureOf } from "../../../lib/builder/build/failure.js";
import { parseStorePath } from "../../../lib/nix/path/store-path.js";
import { type BuildResult, type BuildStatus, buildStatuses } from "../../../lib/nix/store/store.js";

const drv = parseStorePath("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-hello.drv");

function result(status: BuildStatus, errorMessage = ""): BuildResult {
  return {
    status,
    errorMessage,
    builtOutputs: new Map(),
    timesBuilt: 0,
    isNonDeterministic: false,
    startTime: 0,
    stopTime: 0,
  };
}

describe("what the daemon says of a build", () => {
  const expected: Record<BuildStatus, string | undefined> = {
    built: undefined,
    substituted: undefined,
    alreadyValid: undefined,
    resolvesToAlreadyValid: undefined,
    permanentFailure: "buildFailure",
    inputRejected: "buildFailure",
    outputRejected: "buildFailure",
    notDeterministic: "buildFailure",
    timedOut: "timedOut",
    logLimitExceeded: "logLimit",
    transientFailure: "preparingFailure",
    cachedFailure: "preparingFailure",
    miscFailure: "preparingFailure",
    dependencyFailed: "preparingFailure",
    noSubstituters: "preparingFailure",
  };

  test.each(buildStatuses)("%s", (status) => {
    expect(failureOf(drv, result(status))?.code).toBe(expected[status]);
  });

  test("log lines in its text do not get into the report of a build that failed by itself", () => {
    const failure = failureOf(drv, result("permanentFailure", "last 3 log lines:\n> secret"));
    expect(failure?.message).toBe(`${drv} failed; see the log`);
  });

  test("its text tells why a build was not done", () => {
    const failure = failureOf(drv, result("miscFailure", "a \u001b[31mred\u001b[0m\nreason\0"));
    expect(failure?.message).toContain(": a red reason");
  });
});

test("an unforeseen error takes the state of its phase, a foreseen one keeps its own", () => {
  const cause = new Error("disk full");
  const wrapped = BuildFailure.from(cause, "importFailure", "could not get the inputs");
  expect(wrapped).toMatchObject({
    code: "importFailure",
    message: "could not get the inputs: disk full",
    cause,
  });
  expect(BuildFailure.from(wrapped, "uploadFailure", "other")).toBe(wrapped);
});

test("texts of reports are one line that a database takes", () => {
  expect(errorReport(new Error("outer\n", { cause: new Error("in\0ner\r\u0007") }))).toBe("outer : inner");
  expect(reportText("half \ud83d of a pair")).not.toMatch(/[\ud800-\udfff]/);
  expect(reportText("x".repeat(10_000)).length).toBeLessThan(4100);
});
