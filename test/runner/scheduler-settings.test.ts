/** Settings of the file in the runner's terms. */
import { expect, it } from "vitest";
import { buildsAtOnce, timerMs } from "../../lib/runner/scheduler-settings.js";
import { defaultConfig } from "../support/idle-runner.js";

it("maxConcurrentIngestion bounds the builds ingested together; 0 is the built-in number", () => {
  expect(buildsAtOnce({ ...defaultConfig(), maxConcurrentIngestion: 3 })).toBe(3);
  expect(buildsAtOnce(defaultConfig())).toBe(200);
});

it("a timer of 0 seconds or less is no timer", () => {
  expect([timerMs(-1), timerMs(0), timerMs(2)]).toEqual([undefined, undefined, 2000]);
});
