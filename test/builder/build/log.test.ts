import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { BuildLog } from "../../../lib/builder/build/log.js";
import { RunnerLink } from "../../../lib/builder/connection/runner-link.js";
import { newCounters } from "../../../lib/builder/counters.js";
import { createLogger } from "../../../lib/log.js";
import { parseStorePath } from "../../../lib/nix/path/store-path.js";
import { decodeLog } from "../../../lib/rpc/index.js";
import type { RunnerApi } from "../../../lib/rpc/types.js";

const drv = parseStorePath("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-logged.drv");
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "build-log-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A log whose file belongs into a folder that is not there yet, and what a runner gets of it. */
function logWithoutDisk() {
  const directory = join(folder, "later");
  const received: string[] = [];
  const lines: string[] = [];
  const link = new RunnerLink();
  const buildLog: RunnerApi["buildLog"] = async (_, chunks) => {
    for await (const chunk of decodeLog(chunks, { maxBytes: 1 << 20 }))
      received.push(Buffer.from(chunk).toString());
  };
  link.attach({ buildLog } as unknown as RunnerApi, true);
  const log = new BuildLog({
    drv,
    link,
    counters: newCounters(),
    logger: createLogger({ target: "builder", write: (line) => lines.push(line) }),
    spoolDirectory: directory,
    deadlineMs: 10_000,
    signal: new AbortController().signal,
  });
  return { log, directory, text: () => received.join(""), lines };
}

const line = (text: string): Buffer => Buffer.from(text);
// As much as is kept in memory.
const large = "x".repeat(262_143);

test("text that no disk takes is left out until one does, and a note says how much", async () => {
  const { log, directory, text, lines } = logWithoutDisk();
  await log.add(line(large), true);
  await log.add(line("left out"), true);
  await log.add(line("too soon"), true);
  await mkdir(directory);
  await sleep(250);
  await log.add(line("kept again"), true);
  await log.finish();
  expect(text().slice(large.length)).toMatch(
    /^\n\n\[18 bytes of the log could not be kept: ENOENT: [^\n]*\]\nkept again\n$/,
  );
  expect(lines).toEqual([
    expect.stringContaining("a log cannot be kept; its text is left out until it can"),
    expect.stringContaining("a log can be kept again"),
  ]);
});

test("a log that could not be kept to its end says so", async () => {
  const { log, text } = logWithoutDisk();
  await log.add(line(large), true);
  await log.add(line("left out"), true);
  await log.finish();
  expect(text().slice(large.length)).toMatch(
    /^\n\n\[9 bytes of the log could not be kept: ENOENT: [^\n]*\]\n$/,
  );
});
