/** Lines that repeat themselves are counted; levels by target, changed while loggers are in use. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { programLogLevels } from "../lib/config/index.js";
import { UsageError } from "../lib/errors.js";
import { createLogger, type LogFormat } from "../lib/log.js";
import { LineFolder } from "../lib/log-fold.js";

describe("equal lines", () => {
  beforeEach(() => {
    vi.useFakeTimers({ now: 1_000_000 });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  function setup(format: LogFormat = "text") {
    const lines: string[] = [];
    const write = (line: string): void => void lines.push(line);
    return { lines, logger: createLogger({ target: "t", format, write, fold: true }) };
  }

  it("are written five times, then counted, and the count is written by itself", () => {
    const { lines, logger } = setup();
    for (let i = 0; i < 100; i++) {
      vi.advanceTimersByTime(10);
      logger.warn("refused", { peer: "a" });
    }
    expect(lines).toHaveLength(5);
    vi.advanceTimersByTime(60_000);
    expect(lines).toHaveLength(6);
    expect(lines.at(-1)?.slice(24)).toBe("  WARN t: refused peer=a repeated=95");
    logger.warn("refused", { peer: "a" });
    expect(lines).toHaveLength(7);
    vi.advanceTimersByTime(600_000);
    expect(lines).toHaveLength(7);
  });

  it("are those with the same fields, of one logger and its children, in both formats", () => {
    const { lines, logger } = setup("json");
    const child = logger.child({ room: 1 });
    for (let i = 0; i < 20; i++) {
      logger.info("same", { i: i % 2 });
      child.info("same");
    }
    expect(lines).toHaveLength(15);
    vi.advanceTimersByTime(60_001);
    expect(lines.slice(15).map((line) => JSON.parse(line))).toMatchObject([
      { i: 0, repeated: 5 },
      { room: 1, repeated: 15 },
      { i: 1, repeated: 5 },
    ]);
  });

  it("that one peer makes different are written twenty times, then counted, apart from those of others", () => {
    const { lines, logger } = setup();
    for (let i = 0; i < 3_000; i++) logger.warn("refused", { method: `m${i}`, peer: `10.0.0.1:${i}` });
    logger.warn("refused", { method: "own", peer: "10.0.0.2:1" });
    logger.warn("another kind", { peer: "10.0.0.1:1" });
    expect(lines).toHaveLength(22);
    vi.advanceTimersByTime(60_000);
    expect(lines.slice(22).map((line) => line.slice(24))).toEqual([
      "  WARN t: refused peer=10.0.0.1 leftOut=2980",
    ]);
    logger.warn("refused", { method: "later", peer: "10.0.0.1:1" });
    expect(lines).toHaveLength(24);
  });

  it("that warn of one machine are written 200 times; what is no warning is written in full", () => {
    const { lines, logger } = setup();
    for (let i = 0; i < 1_000; i++) {
      logger.warn("step is tried again", { drv: i, machine: "a" });
      logger.info("step started", { drv: i, machine: "a" });
    }
    expect(lines).toHaveLength(1_200);
    vi.advanceTimersByTime(60_000);
    expect(lines.at(-1)?.slice(24)).toBe("  WARN t: step is tried again machine=a leftOut=800");
  });

  it("about a machine that joins again and again are twenty a minute, about others at one address 200 in all", () => {
    const { lines, logger } = setup();
    const seen = (machine: string, from: number): void => {
      for (let i = from; i < from + 500; i++)
        logger.info("machine joined", { machine, id: `id${i}`, peer: `10.0.0.1:${i}` });
    };
    seen("a", 0);
    expect(lines).toHaveLength(20);
    for (let i = 0; i < 5_000; i++)
      logger.info("machine joined", { machine: `m${i}`, id: `id${i}`, peer: `10.0.0.1:${i}` });
    logger.info("machine joined", { machine: "a", id: "id", peer: "10.0.0.2:1" });
    const forgotten = "  INFO t: machine joined machine=a peer=10.0.0.1 leftOut=480";
    expect(lines.map((line) => line.slice(24))).toContain(forgotten);
    expect(lines).toHaveLength(202);
    vi.advanceTimersByTime(60_000);
    expect(lines.slice(202).map((line) => line.slice(24))).toEqual([
      "  INFO t: machine joined peer=10.0.0.1 leftOut=4820",
    ]);
    seen("a", 500);
    expect(lines).toHaveLength(223);
  });

  it("are remembered up to a bound; what is forgotten is said before", () => {
    const written: string[] = [];
    const folder = new LineFolder({ remembered: 10, written: 1 });
    const add = (line: string): void => {
      const isWritten = folder.admit(line, (unwritten) => written.push(`${line} ×${unwritten}`));
      if (isWritten) written.push(line);
    };
    add("a");
    add("a");
    for (let i = 0; i < 10; i++) add(`other ${i}`);
    expect(written).toContain("a ×1");
    add("a");
    expect(written.at(-1)).toBe("a");
    add("a");
    folder.flush();
    expect(written.at(-1)).toBe("a ×1");
  });
});

describe("levels", () => {
  it("go by room, and change while loggers are in use", () => {
    const levels = programLogLevels("hydra_queue_runner", { LOG_LEVEL: "info,uploads=debug,database=off" });
    const lines: string[] = [];
    const logger = createLogger({ target: "queue_runner", level: levels, write: (line) => lines.push(line) });
    const uploads = logger.child({}, "uploads");
    const database = logger.child({}, "database");
    const say = (): string => {
      lines.length = 0;
      for (const one of [logger, uploads, database]) {
        one.error("e");
        one.info("i");
        one.debug("d");
      }
      return lines.map((line) => line.slice(31).replace(": ", " ")).join(", ");
    };
    expect(say()).toBe("queue_runner e, queue_runner i, uploads e, uploads i, uploads d");
    levels.move(1);
    expect(levels.text).toBe("info,uploads=debug,database=off (+1)");
    expect(say()).toBe(
      "queue_runner e, queue_runner i, queue_runner d, uploads e, uploads i, uploads d, database e",
    );
    levels.move(-1);
    levels.move(-1);
    expect(say()).toBe("queue_runner e, uploads e, uploads i");
    levels.set("warn");
    expect(say()).toBe("queue_runner e, uploads e, database e");
    expect(() => levels.set("loud")).toThrow(UsageError);
    expect(levels.text).toBe("warn");
  });

  it("may name rooms below the program, as RUST_LOG does", () => {
    const levels = programLogLevels("hydra_queue_runner", {
      RUST_LOG: "warn,hydra_queue_runner=info,hydra_queue_runner::database=trace,other",
    });
    expect(["queue_runner", "database", "uploads"].map((room) => levels.levelOf(room))).toEqual([
      "info",
      "trace",
      "info",
    ]);
  });
});
