// What counts as silence, and when it begins and ends.
import { expect, it } from "vitest";
import { Silence, sleep } from "../../lib/async/index.js";
import { deferred } from "../support/deferred.js";

it("begins when an answer is late, and ends with it", async () => {
  const silence = new Silence(20);
  const heard: string[] = [];
  silence.onBegin(() => heard.push("begin"));
  silence.onEnd(() => heard.push("end"));
  const answer = deferred();
  const asked = Date.now();
  const asking = silence.ask(() => answer.promise);
  expect(silence.since).toBeUndefined();
  await sleep(60);
  expect(silence.since).toBeLessThanOrEqual(asked + 5);
  answer.resolve();
  await asking;
  expect(silence.since).toBeUndefined();
  expect(heard).toEqual(["begin", "end"]);
});

it("is not heard of while answers come in time", async () => {
  const silence = new Silence(1_000);
  expect(await silence.ask(async () => 7)).toBe(7);
  await sleep(5);
  expect(silence.since).toBeUndefined();
});

it("judges errors", async () => {
  const silence = new Silence(1_000);
  const fail = (verdict?: "answered" | "silent" | "unknown"): Promise<unknown> =>
    silence.ask(() => Promise.reject(new Error("refused")), verdict && { judge: () => verdict });
  await expect(fail("unknown")).rejects.toThrow("refused");
  expect(silence.since).toBeUndefined();
  await expect(fail()).rejects.toThrow("refused");
  expect(silence.since).toBeDefined();
  await expect(fail("unknown")).rejects.toThrow("refused");
  expect(silence.since).toBeDefined();
  await expect(fail("answered")).rejects.toThrow("refused");
  expect(silence.since).toBeUndefined();
});
