/**
 * The live page in a real browser, in front of a simulated farm: what an operator finds by keyboard alone, what updates
 * leave in place, that nothing becomes markup, and that axe-core has no complaint. Keeps screenshots in `.tmp/page`.
 *
 * Needs Chromium (Debian's package `chromium`); without it the tests are left out, and one line says so.
 * `HYDRA_PAGE_TESTS=all` shows every view in every state, size and scheme to axe-core; without it a part of them.
 */
import { mkdirSync } from "node:fs";
import axe from "axe-core";
import type { Browser, BrowserContext, Page, PageScreenshotOptions } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { hasChromium, isThorough, launchChromium } from "../support/chromium.js";
import { bigLog, longestTaskMs } from "./big-log.js";
import { drvOf, type FarmState, hostileJob } from "./farm/facts.js";
import { type FarmServer, serveFarm } from "./farm-server.js";
import { SimulatedFarm } from "./simulated-farm.js";

const screenshots = ".tmp/page";
const step = encodeURIComponent(drvOf(0));
/** Lists are filtered: axe-core needs long for each row, and rows are alike. */
const views: Readonly<Record<string, string>> = {
  overview: "",
  machines: "machines?state=held",
  machine: "machines/build-006",
  queue: "queue?reason=unsupported&jobset=nixpkgs:trunk&system=x86_64-linux&name=llvm",
  build: "builds/41000",
  "failed build": "builds/40900",
  step: `steps/${step}`,
  log: `steps/${step}/log/2`,
  timeline: "timeline?machine=build-001",
  jobsets: "jobsets",
  uploads: "uploads",
  problems: "problems",
};

describe.skipIf(!hasChromium)("the live page in a browser", { timeout: 240_000 }, () => {
  let browser: Browser;
  const open: AsyncDisposable[] = [];
  beforeAll(async () => {
    mkdirSync(screenshots, { recursive: true });
    browser = await launchChromium();
  });
  afterAll(() => browser?.close());
  // One for each kind of screen, as a context is dear. Each farm has an origin of its own, and so its own storage.
  const contexts = new Map<string, Promise<BrowserContext>>();
  function contextOf(width: number, colorScheme: "light" | "dark"): Promise<BrowserContext> {
    const key = `${width} ${colorScheme}`;
    const context =
      contexts.get(key) ?? browser.newContext({ viewport: { width, height: 900 }, colorScheme });
    contexts.set(key, context);
    return context;
  }
  afterEach(async () => {
    for (const one of open.splice(0).reverse()) await one[Symbol.asyncDispose]();
  });

  interface Visit {
    readonly page: Page;
    readonly server: FarmServer;
    /** What the browser complained about. */
    readonly complaints: string[];
  }

  async function visit(
    state: FarmState,
    path = "",
    size = 1440,
    colorScheme: "light" | "dark" = "light",
  ): Promise<Visit> {
    const server = await serveFarm(new SimulatedFarm(state));
    open.push(server);
    const context = await contextOf(size, colorScheme);
    const page = await context.newPage();
    open.push({ [Symbol.asyncDispose]: () => page.close() });
    page.setDefaultTimeout(60_000);
    const complaints: string[] = [];
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
    });
    await page.goto(server.url + path);
    await page.locator("h1").waitFor();
    return { page, server, complaints };
  }

  /** For those who look at the page; nothing is checked by it. */
  async function keepPicture(page: Page, name: string, options: PageScreenshotOptions = {}): Promise<void> {
    await page.screenshot({ ...options, path: `${screenshots}/${name}.png` });
  }

  const focusedText = (page: Page): Promise<string> =>
    page.evaluate<string>("document.activeElement?.textContent ?? ''");

  /** Presses Tab until the focus is where it should be. */
  async function tabTo(page: Page, wanted: string): Promise<void> {
    for (let press = 0; press < 120; press++) {
      await page.keyboard.press("Tab");
      if ((await focusedText(page)).startsWith(wanted)) return;
    }
    throw new Error(`no way to ${wanted} by Tab`);
  }

  it("tells by keyboard alone why a step does not run", async () => {
    const { page } = await visit("busy");
    await page.keyboard.press("/");
    await page.keyboard.type("qemu");
    await page.locator("#search-hits a").first().waitFor();
    await page.keyboard.press("Enter");
    await page.locator("h1", { hasText: "qemu" }).waitFor();
    expect(await page.locator(".answer").textContent()).toContain("builds on build-004 for 45 min");
    await page.keyboard.press("g");
    await page.keyboard.press("q");
    await tabTo(page, "unsupported");
    await page.keyboard.press("Enter");
    await page.locator("tbody .mark.bad").first().waitFor();
    await page.waitForURL(/reason=unsupported/);
    await page.locator(".answer", { hasText: "match" }).waitFor();
    expect(await page.locator("tbody tr").first().textContent()).toContain(
      "no machine offers kvm; fails in 1 min 40 s",
    );
  });

  it("tells by keyboard alone which machine is held up, and by what", async () => {
    const { page } = await visit("busy");
    await page.keyboard.press("g");
    await page.keyboard.press("m");
    await page.locator("h1", { hasText: "Machines" }).waitFor();
    await tabTo(page, "State");
    await page.keyboard.press("Enter");
    await page.locator('th[aria-sort="ascending"]').waitFor();
    await page.keyboard.press("ArrowDown");
    expect(await focusedText(page)).toBe("build-006");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("Enter");
    await page.locator("h1", { hasText: "build-006" }).waitFor();
    expect(await page.locator(".answer").textContent()).toMatch(
      /held 3 connection losses in 10 min, until \d\d:\d\d/,
    );
  });

  it("leads by keyboard alone from the overview to the last line of the log of the last failure", async () => {
    const { page } = await visit("busy");
    await tabTo(page, "qemu-9.2.0.x86_64-linux");
    await page.keyboard.press("Enter");
    await page.locator("h1", { hasText: "#40900" }).waitFor();
    expect(await page.locator(".error-text").textContent()).toContain("make: *** [all] Error 2");
    await tabTo(page, "end of its log");
    await page.keyboard.press("Enter");
    await page.locator(".answer", { hasText: "complete" }).waitFor();
    const last = page.locator(".log-line").last();
    await page.locator(".log-line", { hasText: "4002" }).waitFor();
    expect(await last.textContent()).toContain("make: *** [all] Error 2");
    await keepPicture(page, "log-end");
  });

  it("shows a log as a terminal does, finds in it, and links to its lines", async () => {
    const { page, server } = await visit("busy", `steps/${step}/log/1?q=SOMETHING`);
    await page.locator(".log-search", { hasText: "1 line, 1 hit" }).waitFor();
    await page.locator(".log-search input").focus();
    await page.keyboard.press("Enter");
    const line = page.locator(".log-line.marked");
    expect(await line.textContent()).toContain("error: something is green <b>not bold</b>");
    expect(await line.locator("mark").textContent()).toBe("something");
    expect(await line.locator("b").count()).toBe(0);
    expect(page.url()).toMatch(/#L11$/);
    await page.goto(`${server.url}steps/${step}/log/1#L4001`);
    await page.reload();
    expect(await page.locator(".log-line.marked").textContent()).toMatch(/4001\s*progress 100 %$/);
  });

  it("makes markup of nothing that comes from jobsets", async () => {
    const { page, complaints } = await visit("busy");
    await page.getByText(hostileJob).first().waitFor();
    expect(await page.locator("img").count()).toBe(0);
    expect(await page.title()).not.toContain("owned");
    expect(complaints).toEqual([]);
  });

  it("keeps focus, selection, scroll and rows when data come", async () => {
    const { page, server } = await visit("busy", "machines?sort=name");
    const link = page.getByRole("link", { name: "arm-016", exact: true });
    await link.focus();
    await page.evaluate(`
      kept = document.activeElement.closest("tr");
      getSelection().selectAllChildren(document.activeElement);
    `);
    const before = await page.evaluate<number>("scrollY");
    server.farm.drain("arm-016", true);
    const answered = page.waitForResponse((response) => response.url().endsWith("/api/machines"));
    server.notify();
    await answered;
    await page.locator("tr", { hasText: "arm-016" }).getByText("draining").first().waitFor();
    const kept = await page.evaluate<unknown>(`({
      sameRow: document.activeElement.closest("tr") === kept,
      selected: getSelection().toString(),
      focused: document.activeElement.textContent,
      scrollY,
    })`);
    expect(kept).toEqual({ sameRow: true, selected: "arm-016", focused: "arm-016", scrollY: before });
  });

  it("asks before it acts, sends the token, and says what came of it", async () => {
    const { page, server } = await visit("busy", "machines/build-001");
    await page.getByRole("button", { name: "Drain build-001" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Status token").fill("wrong");
    await dialog.getByRole("button", { name: "Drain build-001" }).click();
    await dialog.getByRole("alert").waitFor();
    expect(await dialog.getByRole("alert").textContent()).toContain("does not accept this token");
    await dialog.getByLabel("Status token").fill("secret");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Resume build-001" }).waitFor();
    expect(server.actions).toEqual([
      "POST /machines/build-001/drain Bearer wrong",
      "POST /machines/build-001/drain Bearer secret",
    ]);
    expect(await page.evaluate<string>("JSON.stringify({ ...localStorage })")).not.toContain("secret");
    // The token is remembered while the page is open, and asked for again by no other action.
    server.farm = new SimulatedFarm("broken");
    await page.keyboard.press("g");
    await page.keyboard.press("u");
    await page.getByRole("button", { name: "Try again now" }).click();
    await dialog.getByRole("button", { name: "Try again now" }).click();
    await page.getByText("✓ done").waitFor();
    expect(server.actions.at(-1)).toBe("POST /api/uploads/retry Bearer secret");
  });

  it("shows that the runner is gone, and that it is back", async () => {
    const { page, server } = await visit("busy");
    server.silence(true);
    await page.getByText(/No answer since \d\d:\d\d:\d\d, trying again/).waitFor();
    // An answer that was on its way may show it as there once more.
    await page.locator(".page.gone").waitFor();
    await keepPicture(page, "gone");
    server.silence(false);
    await page.getByText(/data as of/).waitFor();
    await page.locator(".page:not(.gone)").waitFor();
  });

  it("says in standby who leads", async () => {
    const { page } = await visit("standby");
    expect(await page.locator(".state-line").textContent()).toMatch(/standby.*db1 leads for 2 d/);
  });

  it("zooms and moves the timeline by keys, wheel and drag, and keeps what is shown in the address", async () => {
    const { page } = await visit("busy", "timeline?machine=build-001");
    const minutes = (): number => Number(new URL(page.url()).searchParams.get("minutes") ?? 60);
    const picture = page.locator(".lanes svg").first();
    await picture.waitFor();
    // Of the machine that is shown, not of the whole farm.
    expect(await page.locator(".answer").textContent()).toMatch(/^2\d % of 8 slots used/);
    await page.keyboard.press("+");
    await expect.poll(minutes).toBe(40);
    await page.keyboard.press("-");
    await expect.poll(minutes).toBe(60);
    const box = await picture.boundingBox();
    const [left, top, wide] = [box?.x ?? 0, (box?.y ?? 0) + 3, box?.width ?? 0];
    await page.mouse.move(left + wide / 4, top);
    await page.keyboard.down("Control");
    await page.mouse.wheel(0, -100);
    await page.keyboard.up("Control");
    await expect.poll(minutes).toBeCloseTo(60 * Math.exp(-0.5), 1);
    const end = (): number => Number(new URL(page.url()).searchParams.get("to"));
    const before = end();
    await page.mouse.down();
    await page.mouse.move(left + wide / 2, top, { steps: 4 });
    await page.mouse.up();
    // A quarter of what is shown, to the past; no step was opened.
    await expect.poll(end).toBeLessThan(before - minutes() * 60_000 * 0.2);
    expect(end()).toBeGreaterThan(before - minutes() * 60_000 * 0.3);
    expect(new URL(page.url()).pathname).toBe("/timeline");
    await page.getByRole("button", { name: "Zoom out" }).focus();
    await page.keyboard.press("Enter");
    await expect.poll(minutes).toBeCloseTo(120 * Math.exp(-0.5), 0);
  });

  // As long as the runner keeps them; a quarter of it shows the same in less time.
  const mebibytes = isThorough ? 64 : 16;
  it(`scrolls a log of ${mebibytes} MiB without a long task, searches it, and follows it as it grows`, async () => {
    const { page, server, complaints } = await visit("busy", "uploads");
    page.setDefaultTimeout(200_000);
    const log = bigLog(mebibytes);
    server.log = log.send;
    await browser.startTracing(page, { categories: ["toplevel"] });
    await page.goto(`${server.url}steps/${step}/log/2`);
    await page.locator(".answer", { hasText: "live" }).waitFor();
    await page.locator(".log-line", { hasText: "the last line of the beginning" }).waitFor();
    const scrolled = await page.evaluate<number>(`new Promise((resolve) => {
      const box = document.querySelector(".log-box");
      let frame = 0;
      const next = () => {
        box.scrollTop = (box.scrollHeight * (frame * 7 % 60)) / 60;
        if (++frame < 60) requestAnimationFrame(next);
        else resolve(box.scrollHeight);
      };
      next();
    })`);
    expect(scrolled).toBeGreaterThan(1_000_000);
    await page.getByLabel("Search in the log").fill("needle");
    await page.locator(".log-search", { hasText: "1 line, 1 hit" }).waitFor();
    await page.getByRole("button", { name: "To the end" }).click();
    log.grow("a line that came later\n");
    await page.locator(".log-line", { hasText: "a line that came later" }).waitFor();
    const longest = longestTaskMs(await browser.stopTracing());
    const devtools = await page.context().newCDPSession(page);
    await devtools.send("Performance.enable");
    const { metrics } = await devtools.send("Performance.getMetrics");
    const heap = (metrics.find(({ name }) => name === "JSHeapUsedSize")?.value ?? Number.NaN) / 2 ** 20;
    if (isThorough)
      process.stdout.write(`log of ${mebibytes} MiB: longest task ${longest} ms, heap ${heap} MiB\n`);
    expect(longest).toBeGreaterThan(0.1);
    expect(longest).toBeLessThan(100);
    expect(heap).toBeLessThan(16 + 3.5 * mebibytes);
    expect(complaints).toEqual([]);
    log.end();
    await page.locator(".answer", { hasText: "complete" }).waitFor();
  });

  it("takes less than 100 ms for an action with 200 machines and 100,000 steps", async () => {
    const { page } = await visit("busy", "machines");
    const devtools = await page.context().newCDPSession(page);
    // Processor time of the page's thread, as others use the machine too.
    await devtools.send("Performance.enable", { timeDomain: "threadTicks" });
    const spent = async (): Promise<number> => {
      const { metrics } = await devtools.send("Performance.getMetrics");
      return 1000 * (metrics.find(({ name }) => name === "TaskDuration")?.value ?? Number.NaN);
    };
    const times: number[] = [];
    // A round that others disturb counts for nothing; without any, the first few say it.
    for (let round = 0; round < 4 || (round < 16 && Math.min(...times) >= 100); round++) {
      const before = await spent();
      await page.evaluate(`new Promise((resolve) => {
        document.querySelectorAll("th .sort")[${round % 2}].click();
        requestAnimationFrame(() => requestAnimationFrame(resolve));
      })`);
      times.push((await spent()) - before);
    }
    expect(Math.min(...times)).toBeGreaterThan(0.1);
    expect(Math.min(...times)).toBeLessThan(100);
    await page.keyboard.press("g");
    await page.keyboard.press("q");
    await page.locator("h1", { hasText: "Queue" }).waitFor();
    expect(await page.locator("tbody tr").count()).toBeLessThan(100);
    expect(await page.locator("table").getAttribute("aria-rowcount")).toBe("100001");
    // The answer has 200 rows at a time.
    const lastRow = (): Promise<number> =>
      page.evaluate<number>(`scrollTo(0, document.body.scrollHeight),
        Number([...document.querySelectorAll("tbody tr[aria-rowindex]")].at(-1).getAttribute("aria-rowindex"))`);
    await expect.poll(lastRow).toBeGreaterThan(401);
    expect(await page.locator("tbody tr").count()).toBeLessThan(100);
  });

  type Look = readonly [FarmState, number, "light" | "dark", readonly string[]];
  const all = Object.keys(views);
  const everyLook = (["busy", "broken", "idle"] as const).flatMap((state) =>
    [1440, 390].flatMap((size) =>
      (["light", "dark"] as const).map((scheme): Look => [state, size, scheme, all]),
    ),
  );
  const someLooks: readonly Look[] = [
    ["busy", 1440, "light", all],
    ["busy", 390, "dark", all],
    ["broken", 1440, "dark", ["overview", "uploads"]],
    ["broken", 390, "light", ["overview", "uploads"]],
    ["idle", 1440, "light", ["overview", "queue"]],
  ];
  it.each(isThorough ? everyLook : someLooks)(
    "is without complaint of axe-core, and scrolls nowhere sideways: %s, %d, %s",
    async (state, size, scheme, names) => {
      const { page, server, complaints } = await visit(state, "", size, scheme);
      const found: string[] = [];
      for (const name of names) {
        await page.goto(server.url + (views[name] ?? ""));
        await page.locator("main h1").waitFor();
        await page.evaluate(axe.source);
        const violations = await page.evaluate<string[]>(`axe.run().then(({ violations }) =>
        violations.map(({ id, nodes }) => id + ": " + nodes.slice(0, 3).map(({ html }) => html.slice(0, 200)).join(" | ")))`);
        const over = await page.evaluate<number>(
          "document.documentElement.scrollWidth - document.documentElement.clientWidth",
        );
        found.push(
          ...violations.map((text) => `${name}: ${text}`),
          ...(over > 0 ? [`${name}: ${over} pixels too wide`] : []),
        );
        await keepPicture(page, `${state}-${name.replace(" ", "-")}-${size}-${scheme}`);
      }
      expect(found).toEqual([]);
      expect(complaints).toEqual([]);
      if (state !== "busy" || scheme !== "light") return;
      // The picture of the README: copy it to docs/images/overview.png when the page has changed.
      await page.goto(server.url);
      await page.locator("main h1").waitFor();
      const clip = { x: 0, y: 0, width: size, height: 690 };
      await keepPicture(page, "overview", { clip });
    },
  );
});
