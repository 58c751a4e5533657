// The API that the live page asks, with a real runner, builder and database: a build that fails, from the overview to its log.
import { request } from "node:http";
import { basename } from "node:path";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { hasChromium, launchChromium } from "../support/chromium.js";
import { Contract } from "../support/contract.js";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";

const pair = usePair(async () => ({
  databaseUrl: await testDatabase(),
  runner: { farmName: "test farm", frontendUrl: "https://hydra.example.org/" },
}));

/** Whatever came; the tests look into it. */
type Answer = ReturnType<typeof JSON.parse>;
let contract: Contract | undefined;
/** Every answer has to be one that the API's description has. */
async function get(path: string): Promise<Answer> {
  contract ??= new Contract(JSON.parse(await (await fetch(`${pair().statusUrl}/openapi.json`)).text()));
  const answer = await fetch(`${pair().statusUrl}${path}`);
  const [contentType, body] = [answer.headers.get("content-type") ?? "", await answer.text()];
  contract.check("GET", path, { status: answer.status, contentType, body });
  return contentType === "application/json" ? JSON.parse(body) : body;
}

/** Of a derivation, a build and a machine that there are, all that can be asked. */
async function getEverything(names: Readonly<Record<string, string>>): Promise<string[]> {
  await get("/status");
  const asked: string[] = [];
  for (const [method, path, { operationId }] of contract?.operations ?? []) {
    if (method !== "GET" || operationId === "events" || operationId === "pageFile") continue;
    await get(path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(names[name] ?? "1")));
    asked.push(operationId);
  }
  return asked.filter((id) => contract?.seen.has(id) !== true);
}

/** From the overview to the line in the log of the failure, as an operator clicks. */
async function followInBrowser(): Promise<void> {
  if (!hasChromium) return;
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    const complaints: string[] = [];
    page.on("pageerror", (error) => complaints.push(error.message));
    await page.goto(`${pair().statusUrl}/`);
    await page.locator("h1").waitFor();
    expect(await page.locator("h1").textContent()).toBe("test farm");
    const results = page.getByRole("table", { name: "Builds that ended" });
    await results.locator('a[href*="/builds/"]').first().click();
    await page.locator(".answer", { hasText: "failed after" }).waitFor();
    await page.getByRole("link", { name: "end of its log" }).click();
    await page.locator(".log-line", { hasText: "cannot link" }).waitFor();
    await page.locator(".answer", { hasText: "complete" }).waitFor();
    expect(complaints).toEqual([]);
  } finally {
    await browser.close();
  }
}

test("a failing build is followed from the overview to the line in its log", async () => {
  await pair().waitForBuilders(1);
  const [id = 0] = await pair().build(
    shellDerivation("breaks", "echo the first line; /bin/busybox sleep 6; echo cannot link; exit 7"),
  );
  const running = await until("the step to run", async () => {
    const { runningNow } = await get("/api/overview");
    return runningNow[0];
  });
  expect(running).toMatchObject({ name: "breaks", build: id, try: 1, machine: pair().builder().name });
  const drv = String(running.drv);
  expect(await get(`/api/builds/${id}`)).toMatchObject({
    finished: false,
    words: expect.stringMatching(/^breaks builds on /),
    graph: { nodes: [{ id: drv, state: "running", critical: true }] },
  });
  expect(await get(`/api/machines/${pair().builder().name}`)).toMatchObject({
    state: expect.stringMatching(/^(building|full)$/),
    running: [{ drv }],
  });
  expect(await get("/api/queue?reason=running")).toMatchObject({ total: 1, rows: [{ drv, build: id }] });
  // Followed while it is written; it ends with the try.
  await until("the log to begin", async () => (await fetch(`${pair().statusUrl}/api/steps/${drv}/log`)).ok);
  const followed = await new Promise<string>((resolve, reject) => {
    request(`${pair().statusUrl}/api/steps/${drv}/log?try=1&follow=1`, (response) => {
      text(response).then(resolve, reject);
    })
      .on("error", reject)
      .end();
  });
  expect(followed).toContain("the first line\n");
  expect(followed).toContain("cannot link\n");
  await pair().tables.waitFinished([id]);

  const result = await until("the result", async () => {
    const { results } = await get("/api/overview");
    return results.find((one: Answer) => one.build === id);
  });
  expect(result).toMatchObject({ result: "failed", job: expect.any(String), error: expect.any(String) });
  const build = await get(`/api/builds/${id}`);
  expect(build).toMatchObject({
    finished: true,
    status: 1,
    url: `https://hydra.example.org/build/${id}`,
    words: expect.stringMatching(/^failed after/),
    steps: { failed: 1, done: 0 },
    tries: [{ try: 1, machine: pair().builder().name, status: 1, hasLog: true }],
    failures: [{ drv, try: { try: 1, hasLog: true } }],
  });
  const whole = await fetch(`${pair().statusUrl}/api/steps/${drv}/log?try=1`);
  const log = await whole.text();
  expect(log).toBe(followed);
  const place = log.indexOf("cannot link");
  const part = await fetch(`${pair().statusUrl}/api/steps/${drv}/log?try=1`, {
    headers: { range: `bytes=${place}-${place + 10}` },
  });
  expect([part.status, await part.text()]).toEqual([206, "cannot link"]);
  expect(await get(`/api/steps/${drv}`)).toMatchObject({
    state: "failed",
    words: expect.stringMatching(/^failed on/),
  });
  const { attempts } = await get(`/api/timeline?build=${id}`);
  expect(attempts).toMatchObject([{ drv, try: 1, status: 1, result: "failed" }]);
  const { hits } = await get(`/api/search?q=${id}`);
  expect((await get("/api/timeline?from=0&to=9007199254740991")).attempts).not.toEqual([]);
  for (const [path, status] of [
    ["/api/search?q=a%00b", 400],
    ["/api/machines/a%00b", 404],
  ] as const)
    expect((await fetch(`${pair().statusUrl}${path}`)).status).toBe(status);
  expect(hits[0]).toMatchObject({ kind: "build", id: String(id) });
  expect(await get(`/api/search?q=${drv.slice(0, 12)}`)).toMatchObject({
    hits: [{ kind: "build", id: String(id) }],
  });
  const { points } = await get("/api/history?hours=1");
  expect(points.reduce((sum: number, point: Answer) => sum + point.failed, 0)).toBe(1);
  await followInBrowser();
  expect(await getEverything({ drv, id: String(id), name: pair().builder().name })).toEqual([]);
});

test("the events say what changed, and history, machine and problems survive a restart", async () => {
  const events = await fetch(`${pair().statusUrl}/api/events?events=buildFinished`);
  const [id = 0] = await pair().build(shellDerivation("works", "echo > $out"));
  let said = "";
  for await (const bytes of events.body ?? []) {
    said += Buffer.from(bytes).toString();
    if (said.includes("event: buildFinished")) break;
  }
  expect(said).toMatch(/^event: changed\n/);
  expect(said).toContain(`"build":${id}`);
  await pair().tables.waitFinished([id]);
  await pair().runner.stop();
  await pair().startRunner();
  await pair().waitForBuilders(1);
  const results = await until("the results of before", async () => {
    const { results: found } = await get("/api/overview");
    // Failures come first for a minute.
    return found.length === 0 ? undefined : found.toSorted((a: Answer, b: Answer) => b.build - a.build);
  });
  expect(results).toMatchObject([
    { build: id, result: "succeeded", machine: pair().builder().name, cached: false },
    { job: expect.any(String), result: "failed", error: expect.any(String), machine: pair().builder().name },
  ]);
  const { drvpath } = (await pair().tables.rows([id])).Builds[0] ?? {};
  expect(await get(`/api/steps/${basename(String(drvpath))}`)).toMatchObject({
    state: "succeeded",
    tries: [{ try: 1, result: "succeeded" }],
    outputs: [{ name: "out", path: expect.stringMatching(/-works$/) }],
  });
  const { points } = await get("/api/history?hours=1");
  const done = points.reduce((sum: number, point: Answer) => sum + point.done, 0);
  expect(done).toBe(1);
  const { history } = await get(`/api/machines/${pair().builder().name}`);
  expect(history.map((one: Answer) => one.name)).toEqual(["works", "breaks"]);
  expect(await get("/api/jobsets")).toMatchObject({ jobsets: expect.any(Array) });
  expect(await get("/api/uploads")).toMatchObject({ waiting: 0 });
  expect(await get("/api/problems")).toMatchObject({ problems: [] });
});
