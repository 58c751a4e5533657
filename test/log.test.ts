// Log lines as text and as JSON.
import { describe, expect, it } from "vitest";
import { errorChain } from "../lib/errors.js";
import { createLogger, type LogFormat, loggerOn } from "../lib/log.js";

function linesOf(format: LogFormat, write: (logger: ReturnType<typeof createLogger>) => void): string[] {
  const lines: string[] = [];
  write(createLogger({ target: "t", format, write: (line) => void lines.push(line) }));
  return lines;
}

describe("log lines", () => {
  it("as text: time, level, target, message, fields", () => {
    const [line = "", ...rest] = linesOf("text", (logger) => {
      logger.info("two words", {
        path: "/a b",
        n: 1,
        gone: undefined,
        error: new Error("outer", { cause: new Error("inner") }),
      });
      logger.debug("below the level");
    });
    expect(rest).toEqual([]);
    expect(line.slice(24)).toBe('  INFO t: two words path="/a b" n=1 error="outer: inner"');
    expect(Number.isNaN(Date.parse(line.slice(0, 24)))).toBe(false);
  });

  it("as JSON: one object a line, whatever the fields hold", () => {
    const [first = "", second = ""] = linesOf("json", (logger) => {
      logger.warn("a\nb", {
        n: 1,
        big: 2n,
        gone: undefined,
        deep: { big: 3n, error: new Error("e") },
        level: "mine",
      });
      logger
        .child({ drv: "x.drv" }, "other")
        .error("failed", { error: new Error("outer", { cause: new Error("inner") }) });
    });
    const { time, ...line } = JSON.parse(first) as Record<string, unknown>;
    expect(new Date(String(time)).toISOString()).toBe(time);
    expect(line).toEqual({
      level: "warn",
      target: "t",
      message: "a\nb",
      n: 1,
      big: "2",
      deep: { big: "3", error: "e" },
      _level: "mine",
    });
    expect(first).not.toContain("\n");
    expect(JSON.parse(second)).toMatchObject({ target: "other", drv: "x.drv", error: "outer: inner" });
  });
});

it("goes to another logging library with the fields of all loggers above", () => {
  const events: unknown[] = [];
  const logger = loggerOn((...event) => void events.push(event));
  logger.child({ machine: "m" }, "attempt").child({ drv: "d" }).warn("held", { drv: "e" });
  logger.trace("plain");
  expect(events).toEqual([
    ["warn", "held", { machine: "m", target: "attempt", drv: "e" }],
    ["trace", "plain", {}],
  ]);
});

describe("the chain of an error", () => {
  it("ends where a cause is a text", () => {
    expect(errorChain(new Error("outer", { cause: "inner" }))).toBe("outer: inner");
    expect(errorChain("text")).toBe("text");
  });

  it("does not repeat what a message quotes already", () => {
    expect(errorChain(new Error("at a: refused", { cause: new Error("refused") }))).toBe("at a: refused");
  });

  it("ends where causes make a circle", () => {
    const first = new Error("first");
    first.cause = new Error("second", { cause: first });
    expect(errorChain(first)).toBe("first: second");
  });
});
