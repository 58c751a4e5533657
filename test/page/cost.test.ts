/**
 * What an open page costs, for docs/operations.md; only with `HYDRA_PAGE_TESTS=all`. The answers are the runner's own, about
 * a real scheduler with 100,000 steps and 200 machines; a step starts and ends twenty times a second.
 */

import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { load } from "../scheduler/world.js";
import { type Farm, openFarm } from "../status/api/farm.js";
import { hasChromium, isThorough, launchChromium } from "../support/chromium.js";

const seconds = 10;

describe.skipIf(!hasChromium || !isThorough)("the cost of an open page", { timeout: 600_000 }, () => {
  let farm: Farm;
  let browser: Browser;
  beforeAll(async () => {
    farm = await openFarm();
    for (let index = 0; index < 200; index++) {
      farm.world.machine(`m${index}`, { maxJobs: 8 });
      farm.world.scheduler.updateMachine(`m${index}` as never, load, farm.world.now);
    }
    for (let index = 0; index < 100_000; index++)
      farm.step(`s${index}`, index < 20_000 ? [] : [`s${index % 20_000}`]);
    for (let index = 0; index < 2_000; index++) farm.build(index + 1, `s${99_999 - index}`);
    farm.world.assign();
    browser = await launchChromium();
  });
  afterAll(async () => {
    await browser.close();
    await farm[Symbol.asyncDispose]();
  });

  /** Processor seconds of this process in some seconds, while things happen. */
  async function usage(): Promise<number> {
    const before = process.cpuUsage();
    const topics = ["overview", "machines", "queue", "builds", "steps", "jobsets"] as const;
    for (let tick = 0; tick < seconds * 20; tick++) {
      for (const listener of farm.listeners) listener({ type: "stepFinished" }, topics);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1e6;
  }

  it.each(["", "machines", "queue"])("is small: /%s", async (path) => {
    const without = await usage();
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${farm.port}/${path}`);
    await page.locator("h1").waitFor();
    // Once more, with the files of the page in memory.
    await page.reload();
    await page.locator("h1").waitFor();
    const paint = await page.evaluate<number>(
      'performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? NaN',
    );
    const percent = (100 * ((await usage()) - without)) / seconds;
    process.stdout.write(
      `/${path}: first paint ${paint.toFixed(0)} ms, ${percent.toFixed(2)} % of a core of the runner\n`,
    );
    expect(paint).toBeGreaterThan(0);
    expect(percent).toBeLessThan(20);
    await page.close();
  });
});
