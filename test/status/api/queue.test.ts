/** The queue of the API: order, reasons in words, filters, parts that do not repeat, and its cost. */
import { describe, expect, it } from "vitest";
import type { ApiQueue } from "../../../lib/status/index.js";
import { load } from "../../scheduler/world.js";
import { drvOf, openFarm } from "./farm.js";

const names = ({ rows }: ApiQueue): string[] => rows.map(({ name }) => name);

describe("the queue", () => {
  it("has the steps in the order in which they start, and says why each waits", async () => {
    await using farm = await openFarm();
    const { world } = farm;
    world.machine("vm", { maxJobs: 1 });
    world.scheduler.updateMachine("vm" as never, load, world.now);
    farm.step("first");
    farm.step("needed");
    farm.step("alone");
    farm.step("top", ["needed"]);
    farm.step("kvm", [], { features: ["kvm"] });
    farm.build(1, "first");
    farm.build(2, "alone");
    farm.build(3, "top", "tests.top");
    farm.build(4, "kvm");
    world.assign();
    const queue: ApiQueue = (await farm.ask("GET", "/api/queue")).json;
    const running = queue.rows[0];
    expect(running?.reason).toBe("running");
    const rest = queue.rows.slice(1).map(({ name, reason, why }) => [name, reason, why]);
    expect(rest).toEqual([
      ["first", "machinesBusy", "vm full (1 of 1)"],
      ["alone", "machinesBusy", "place 2; vm full (1 of 1)"],
      ["kvm", "unsupported", expect.stringMatching(/^no machine offers kvm; fails in/)],
      ["top", "waitingForInputs", "waits for 1 input"],
    ]);
    expect(queue).toMatchObject({ total: 5, cursor: null });
    expect(queue.systems).toEqual([
      {
        system: "x86_64-linux",
        ready: 2,
        reasons: { running: 1, machinesBusy: 2, unsupported: 1, waitingForInputs: 1 },
      },
    ]);
    expect(queue.rows.at(-1)).toMatchObject({
      build: 3,
      jobset: "p:j1",
      job: "tests.top",
      tries: 0,
      since: null,
    });
  });

  it("is filtered by system, jobset, job, name and reason", async () => {
    await using farm = await openFarm();
    farm.step("gcc");
    farm.step("hello", ["gcc"]);
    farm.step("mac", [], { system: "aarch64-darwin" });
    farm.build(1, "hello", "tests.hello");
    farm.build(2, "mac");
    const ask = async (query: string): Promise<string[]> =>
      names((await farm.ask("GET", `/api/queue?${query}`)).json).sort();
    expect(await ask("system=aarch64-darwin")).toEqual(["mac"]);
    expect(await ask("job=HELLO")).toEqual(["gcc", "hello"]);
    expect(await ask("name=ell")).toEqual(["hello"]);
    expect(await ask("reason=waitingForInputs")).toEqual(["hello"]);
    expect(await ask("jobset=p%3Aj1")).toEqual(["gcc", "hello", "mac"]);
    expect(await ask("jobset=p%3Aj2")).toEqual([]);
    expect(await ask("name=gcc&system=aarch64-darwin")).toEqual([]);
  });

  it("comes in parts that neither repeat nor leave out a step when the queue changes between them", async () => {
    await using farm = await openFarm();
    for (let n = 0; n < 25; n++) {
      farm.step(`s${n}`);
      farm.build(n + 1, `s${n}`);
    }
    const seen: string[] = [];
    let cursor: string | null = "";
    for (let part = 0; cursor !== null; part++) {
      const query = cursor === "" ? "limit=10" : `limit=10&cursor=${cursor}`;
      const queue: ApiQueue = (await farm.ask("GET", `/api/queue?${query}`)).json;
      expect(queue.total).toBe(25);
      seen.push(...names(queue));
      cursor = queue.cursor;
      if (part === 0) {
        farm.step("new");
        farm.world.build(99, drvOf("new"), { globalPriority: 100 });
        farm.world.scheduler.removeBuild(20 as never, farm.world.now);
      }
    }
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toHaveLength(24);
    expect(seen).not.toContain("s19");
  });

  it.each([
    ["limit=0", "limit: not a whole number from 1 to 1000", 400, "bad-request"],
    ["limit=x", "limit: not a whole number from 1 to 1000", 400, "bad-request"],
    ["limit=1001", "limit: not a whole number from 1 to 1000", 400, "bad-request"],
    ["reason=boredom", /^reason: not one of running/, 400, "bad-request"],
    ["cursor=!!", "cursor: not one that this API gave", 400, "bad-request"],
    [`cursor=${Buffer.from("7-7.5").toString("base64url")}`, /^this list is not kept any more/, 410, "gone"],
    [`name=${"x".repeat(501)}`, "name: longer than 500 characters", 400, "bad-request"],
  ])("refuses %s", async (query, error, status, code) => {
    await using farm = await openFarm();
    const answer = await farm.ask("GET", `/api/queue?${query}`);
    expect(answer.status).toBe(status);
    expect(answer.json).toEqual({
      error: typeof error === "string" ? error : expect.stringMatching(error),
      code,
    });
  });

  it("of 100,000 steps is made in many slices, once for all that ask", async () => {
    await using farm = await openFarm();
    const { world } = farm;
    world.machine("vm", { maxJobs: 1 });
    world.scheduler.updateMachine("vm" as never, load, world.now);
    for (let n = 0; n < 100_000; n++) world.step(drvOf(`s${n}`), [], { name: `s${n}` });
    // The newest first, so that there is something to sort.
    for (let n = 0; n < 100_000; n++) world.build(100_000 - n, drvOf(`s${n}`));
    world.assign();
    let turns = 0;
    const count = (): void => {
      turns++;
      counting = setImmediate(count);
    };
    let counting = setImmediate(count);
    const [queue, again]: ApiQueue[] = (
      await Promise.all([farm.ask("GET", "/api/queue"), farm.ask("GET", "/api/queue")])
    ).map(({ json }) => json);
    clearImmediate(counting);
    expect(queue?.total).toBe(100_000);
    expect(queue?.rows.at(-1)?.why).toBe("place 99; vm full (1 of 1)");
    expect(again?.cursor).toBe(queue?.cursor);
    // 100 slices of rows, as many of places and of the filter, and those of sorting.
    expect(turns).toBeGreaterThan(500);
    const filtered: ApiQueue = (await farm.ask("GET", "/api/queue?name=s999")).json;
    expect(filtered.total).toBe(111);
  });
});
