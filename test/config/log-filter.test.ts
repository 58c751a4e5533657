/** Filters as operators write them into RUST_LOG. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { levelForTarget, parseLogFilter, programLogLevel } from "../../lib/config/index.js";

const level = (text: string, target = "hydra_queue_runner"): string | undefined => {
  const filter = parseLogFilter(text);
  return filter === undefined ? undefined : levelForTarget(filter, target);
};

describe("log filters", () => {
  it.each([
    ["debug", "debug"],
    ["WARN", "warn"],
    ["off", "off"],
    ["0", "off"],
    ["5", "trace"],
    ["hydra_queue_runner=debug,info", "debug"],
    ["info,hydra_queue_runner=debug", "debug"],
    ["hydra_builder=trace,info", "info"],
    ["hydra-queue-runner=debug", "debug"],
    ["hydra_queue_runner", "trace"],
    ["hydra_queue_runner::state=debug,warn", "warn"],
    ["hydra_queue_runner[span{a=1,b=2}]=trace,error", "error"],
    ["", "error"],
  ])("%j means %s", (text, expected) => {
    expect(level(text)).toBe(expected);
  });

  it("prefers the longest target", () => {
    expect(level("a=warn,a::b=debug", "a::b::c")).toBe("debug");
    expect(level("a=warn,a::b=debug", "a::bc")).toBe("warn");
  });

  it.each(["a=loud", "=debug", "a b=info", "info!"])("does not understand %j", (text) => {
    expect(parseLogFilter(text)).toBeUndefined();
  });

  it("never throws", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(["string", "undefined"]).toContain(typeof level(text));
      }),
    );
  });

  it.each(["nonsense", "inof", "debug,inof", "what is this", "a=loud"])("LOG_LEVEL=%s is refused", (text) => {
    expect(() => programLogLevel("hydra_builder", { LOG_LEVEL: text })).toThrow(
      /^LOG_LEVEL: ".*" is not a log filter/,
    );
  });

  it("LOG_LEVEL may name the program", () => {
    expect(programLogLevel("hydra_builder", { LOG_LEVEL: "hydra-builder" })).toBe("trace");
    expect(programLogLevel("hydra_builder", { LOG_LEVEL: "hydra_queue_runner=debug,warn" })).toBe("warn");
  });

  it("of a program come from LOG_LEVEL, then RUST_LOG, then are info", () => {
    expect(programLogLevel("x", {})).toBe("info");
    expect(programLogLevel("x", { RUST_LOG: "debug" })).toBe("debug");
    expect(programLogLevel("x", { RUST_LOG: "debug", LOG_LEVEL: "warn" })).toBe("warn");
    expect(programLogLevel("x", { RUST_LOG: "what is this" })).toBe("info");
  });
});
