/** Logs from builders: what is beyond the limit is dropped, and a builder that does not stop is not read any more. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { silentLogger } from "../../../lib/log.js";
import { encodeLog } from "../../../lib/rpc/index.js";
import { EventBus } from "../../../lib/runner/events/index.js";
import type { RunnerSinks } from "../../../lib/runner/index.js";
import { LogStore } from "../../../lib/runner/outputs/logs/log-store.js";
import { LogIntake } from "../../../lib/runner/service/log-intake.js";
import type { Attempt } from "../../../lib/runner/state/attempts.js";
import { RunnerCounters } from "../../../lib/runner/state/counters.js";
import { Metrics } from "../../../lib/status/index.js";
import { simpleAttempt } from "../../support/recording.js";

const limit = 1_000_000;
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "log-intake-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function receive(
  bytes: number,
  onLog?: RunnerSinks["onLog"],
): Promise<{ text: string; tooLong: Attempt[]; read: number }> {
  const logs = new LogStore({ directory: folder, maxBytes: limit });
  const tooLong: Attempt[] = [];
  const intake = new LogIntake({
    logs,
    counters: new RunnerCounters(new Metrics(), new EventBus()),
    logger: silentLogger,
    onLog,
    onTooLong: async (attempt) => void tooLong.push(attempt),
  });
  let read = 0;
  async function* text(): AsyncGenerator<Uint8Array> {
    const piece = Buffer.alloc(50_000, "x");
    for (let at = 0; at < bytes; at += piece.length) {
      read += piece.length;
      yield piece;
    }
  }
  const attempt = { ...simpleAttempt(1), limits: { maxLogSize: limit, maxOutputSize: 0 } };
  await intake.receive(attempt, encodeLog(text()));
  await attempt.log;
  return { text: await readFile(logs.pathOf(attempt.drv), "utf8"), tooLong, read };
}

describe("a log", () => {
  it("of the allowed length is kept whole", async () => {
    const { text, tooLong } = await receive(limit);
    expect(text).toBe("x".repeat(limit));
    expect(tooLong).toEqual([]);
  });

  it("that is a little too long is cut with a note, and its attempt goes on", async () => {
    const { text, tooLong } = await receive(limit + 100_000);
    expect(text).toBe(`${"x".repeat(limit)}\n[log cut after ${limit} bytes]\n`);
    expect(tooLong).toEqual([]);
  });

  it("far beyond the limit ends its attempt, and the rest is not read", async () => {
    const { text, tooLong, read } = await receive(1_000 * limit);
    expect(text).toBe(`${"x".repeat(limit)}\n[log cut after ${limit} bytes]\n`);
    expect(tooLong).toHaveLength(1);
    expect(read).toBeLessThan(10 * limit);
  });
});

it("a log that comes over another stream as well ends the one before", async () => {
  const logs = new LogStore({ directory: folder, maxBytes: limit });
  const intake = new LogIntake({
    logs,
    counters: new RunnerCounters(new Metrics(), new EventBus()),
    logger: silentLogger,
    onTooLong: () => Promise.resolve(),
  });
  const attempt = { ...simpleAttempt(1), limits: { maxLogSize: limit, maxOutputSize: 0 } };
  async function* silent(): AsyncGenerator<Uint8Array> {
    yield Buffer.from("begun\n");
    await new Promise(() => undefined);
  }
  const first = intake.receive(attempt, encodeLog(silent()));
  const second = intake.receive(attempt, encodeLog(silent()));
  await expect(first).rejects.toMatchObject({ code: "cancelled" });
  async function* whole(): AsyncGenerator<Uint8Array> {
    yield Buffer.from("all of it\n");
  }
  const third = intake.receive(attempt, encodeLog(whole()));
  await expect(second).rejects.toMatchObject({ code: "cancelled" });
  await third;
  expect(await readFile(logs.pathOf(attempt.drv), "utf8")).toBe("all of it\n");
});

describe("a sink of logs", () => {
  it("gets what was written, part by part, and the next part waits for it", async () => {
    const parts: { offset: number; bytes: number; at: string }[] = [];
    let busy = 0;
    const { text } = await receive(300_000, async ({ offset, bytes, machine, build, try: number }) => {
      busy++;
      expect(busy).toBe(1);
      parts.push({ offset, bytes: bytes.length, at: `${machine} ${build} ${number}` });
      await new Promise((resolve) => setTimeout(resolve, 1));
      busy--;
    });
    expect(parts.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(text.length);
    let expected = 0;
    for (const { offset, bytes } of parts) {
      expect(offset).toBe(expected);
      expected += bytes;
    }
    expect(new Set(parts.map(({ at }) => at)).size).toBe(1);
  });

  it("that fails does not keep the log from being written", async () => {
    let calls = 0;
    const { text } = await receive(300_000, () => {
      calls++;
      throw new Error("the dashboard is down");
    });
    expect(calls).toBe(1);
    expect(text).toBe("x".repeat(300_000));
  });
});
