import { describe, expect, test } from "vitest";
import { errorReport, reportText } from "../../../lib/builder/build/error-text.js";
import { failureFrom, failureOf } from "../../../lib/builder/build/failure.js";
import { DaemonError } from "../../../lib/nix/daemon/error.js";
import { parseStorePath } from "../../../lib/nix/path/store-path.js";
import { type BuildResult, type BuildStatus, buildStatuses } from "../../../lib/nix/store/store.js";
import { RpcError } from "../../../lib/rpc/errors.js";

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
    transientFailure: "buildFailure",
    cachedFailure: "preparingFailure",
    miscFailure: "preparingFailure",
    dependencyFailed: "preparingFailure",
    noSubstituters: "preparingFailure",
  };

  test.each(buildStatuses)("%s", (status) => {
    expect(failureOf(drv, result(status))?.code).toBe(expected[status]);
  });

  test("a script that fails in a way that may pass is a failure of the build, and says that it may pass", () => {
    const failure = failureOf(drv, result("transientFailure", "builder failed\n> server says 404"));
    expect(failure).toMatchObject({ code: "buildFailure", reported: "transient" });
    expect(failure?.message).not.toContain("404");
    expect(failureOf(drv, result("permanentFailure", "No space left on device"))?.reported).toBeUndefined();
  });

  test.each<readonly [BuildStatus, string, string]>([
    [
      "transientFailure",
      "builder failed\nnote: build failure may have been caused by lack of free disk space",
      "diskFull",
    ],
    ["inputRejected", "creating directory '/tmp/nix-build-x': No space left on device", "diskFull"],
    [
      "miscFailure",
      "this system does not support the kernel namespaces that are required for sandboxing",
      "sandbox",
    ],
    ["inputRejected", "the build users group 'nixbld' has no members", "sandbox"],
    ["miscFailure", "a 'mips64-linux' with features {} is required to build", "other"],
    ["noSubstituters", "path is required, but there is no substituter that can build it", "other"],
  ])("%s with %j is trouble of the machine or around it: %s", (status, text, cause) => {
    expect(failureOf(drv, result(status, text))).toMatchObject({ code: "preparingFailure", reported: cause });
  });

  test("outputs that refer to each other are the derivation's fault", () => {
    const text =
      "cycle detected in build of '/nix/store/x.drv' in the references of output 'dev' from output 'out'";
    expect(failureOf(drv, result("miscFailure", text))).toMatchObject({
      code: "buildFailure",
      reported: undefined,
    });
  });

  test.each([
    "builder failed\n> note: build failure may have been caused by lack of free disk space",
    "builder failed\n       > cannot create file: No space left on device",
    "executing '/x: No space left on device': No such file or directory",
  ])("what a derivation chose itself is no trouble of the machine: %j", (text) => {
    expect(failureOf(drv, result("transientFailure", text))).toMatchObject({ reported: "transient" });
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

test("what is thrown says whether it is about this machine", () => {
  const reported = (thrown: unknown, state: "importFailure" | "uploadFailure" | "preparingFailure") =>
    failureFrom(thrown, state, "no").reported;
  const full = Object.assign(new Error("write"), { code: "ENOSPC" });
  expect(reported(new Error("outer", { cause: full }), "uploadFailure")).toBe("diskFull");
  expect(reported(new DaemonError("closed", "the daemon went away"), "preparingFailure")).toBe("daemon");
  expect(
    reported(new DaemonError("remote", "path lacks a signature by a trusted key"), "importFailure"),
  ).toBe("untrusted");
  expect(reported(new Error("the NAR is cut off"), "importFailure")).toBe("inputs");
  expect(reported(new RpcError("not-found", "not valid in the runner's store"), "importFailure")).toBe(
    "other",
  );
  expect(reported(new RpcError("unavailable", "reset"), "importFailure")).toBe("inputs");
  expect(reported(new Error("the bucket is down"), "uploadFailure")).toBe("other");
});

test("an unforeseen error takes the state of its phase, a foreseen one keeps its own", () => {
  const cause = new Error("disk full");
  const wrapped = failureFrom(cause, "importFailure", "could not get the inputs");
  expect(wrapped).toMatchObject({
    code: "importFailure",
    message: "could not get the inputs: disk full",
    cause,
  });
  expect(failureFrom(wrapped, "uploadFailure", "other")).toBe(wrapped);
});

test("texts of reports are one line that a database takes", () => {
  expect(errorReport(new Error("outer\n", { cause: new Error("in\0ner\r\u0007") }))).toBe("outer : inner");
  expect(reportText("half \ud83d of a pair")).not.toMatch(/[\ud800-\udfff]/);
  expect(reportText("x".repeat(10_000)).length).toBeLessThan(4100);
});
