import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { LogSpool } from "../../../lib/builder/build/log-spool.js";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "log-spool-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const never = new AbortController().signal;

async function readAll(spool: LogSpool): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of spool.read(never)) chunks.push(Uint8Array.from(chunk));
  return Buffer.concat(chunks);
}

describe("a log spool", () => {
  test("gives every reader all of it, wherever it is kept and whenever the reader came", async () => {
    const pieces = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(pieces, fc.nat(100), async (texts, memory) => {
        const spool = new LogSpool({ directory, memory });
        const early = readAll(spool);
        for (const text of texts) await spool.append(text);
        const late = readAll(spool);
        spool.end();
        const whole = Buffer.concat(texts);
        expect(await early).toEqual(whole);
        expect(await late).toEqual(whole);
        expect(spool.size).toBe(whole.length);
        await spool.close();
      }),
      { numRuns: 40 },
    );
    expect(await readdir(directory)).toEqual([]);
  });

  test("keeps its own copy of what it was given", async () => {
    const spool = new LogSpool({ directory });
    const buffer = Buffer.from("first");
    await spool.append(buffer);
    buffer.fill(0);
    spool.end();
    expect((await readAll(spool)).toString()).toBe("first");
  });

  test("lets a waiting reader go when its signal fires", async () => {
    const spool = new LogSpool({ directory });
    const stop = new AbortController();
    const reading = (async () => {
      for await (const _ of spool.read(stop.signal)) expect.unreachable();
    })();
    stop.abort(new Error("enough"));
    await expect(reading).rejects.toThrow("enough");
  });
});
