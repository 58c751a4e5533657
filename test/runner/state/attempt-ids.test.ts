/** Identifiers of attempts: unguessable, and recognised for their own step, machine and principal only. */
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseUuid } from "../../../lib/rpc/index.js";
import { type AttemptGrant, AttemptIds, loadAttemptKey } from "../../../lib/runner/state/attempt-ids.js";
import { attemptId, machineId, stepId } from "../../../lib/scheduler/ids.js";

const key = new Uint8Array(32).fill(7);
const grants = fc.record({
  step: fc.string({ maxLength: 8 }).map(stepId),
  machine: fc.string({ maxLength: 8 }).map(machineId),
  principal: fc.string({ maxLength: 8 }),
});

describe("identifiers of attempts", () => {
  it("are UUIDs of version 4, never the same twice", () => {
    const ids = new AttemptIds(key);
    const grant: AttemptGrant = { step: stepId("a"), machine: machineId("m"), principal: "p" };
    const made = Array.from({ length: 1000 }, () => ids.next(grant));
    expect(new Set(made).size).toBe(1000);
    for (const id of made) {
      expect(parseUuid(id)).toBe(id);
      expect(id).toMatch(/^.{14}4.{4}[89ab]/);
    }
  });

  it("are recognised for what they were made for, by every runner with the key, and for nothing else", () => {
    fc.assert(
      fc.property(grants, grants, (given, claimed) => {
        const id = new AttemptIds(key).next(given);
        const same = (["step", "machine", "principal"] as const).every(
          (name) => given[name] === claimed[name],
        );
        expect(new AttemptIds(key).isFor(id, given)).toBe(true);
        expect(new AttemptIds(key).isFor(id, claimed)).toBe(same);
        expect(new AttemptIds(new Uint8Array(32)).isFor(id, given)).toBe(false);
      }),
    );
  });

  it("do not let text move from one field into the next", () => {
    const ids = new AttemptIds(key);
    const id = ids.next({ step: stepId("ab"), machine: machineId("c"), principal: "" });
    expect(ids.isFor(id, { step: stepId("a"), machine: machineId("bc"), principal: "" })).toBe(false);
  });

  it("that were changed in any digit, or are no UUIDs, are not recognised", () => {
    const ids = new AttemptIds(key);
    const grant: AttemptGrant = { step: stepId("a"), machine: machineId("m"), principal: "p" };
    const id = ids.next(grant);
    for (let at = 0; at < id.length; at++) {
      if (id[at] === "-") continue;
      const changed = id.slice(0, at) + (id[at] === "0" ? "1" : "0") + id.slice(at + 1);
      expect(ids.isFor(attemptId(changed), grant)).toBe(false);
    }
    expect(ids.isFor(attemptId("x"), grant)).toBe(false);
    expect(ids.isFor(attemptId(""), grant)).toBe(false);
  });
});

describe("the key of a runner", () => {
  it("is made once, for its owner only, and stays", async () => {
    const folder = await mkdtemp(join(tmpdir(), "attempt-key-"));
    try {
      const path = join(folder, "queue-runner", "attempt-key");
      const [first, second] = await Promise.all([loadAttemptKey(path), loadAttemptKey(path)]);
      expect(first).toHaveLength(32);
      expect(Buffer.from(second).equals(first)).toBe(true);
      expect((await stat(path)).mode & 0o777).toBe(0o600);
      expect(Buffer.from(await loadAttemptKey(path)).equals(first)).toBe(true);
      expect(await readdir(join(folder, "queue-runner"))).toEqual(["attempt-key"]);
      await writeFile(path, "short");
      await expect(loadAttemptKey(path)).rejects.toThrow(/does not hold a key of 32 bytes; remove it/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
