/** Server-sent events: what is said, to whom, and that nobody is held up. */
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { describe, expect, it } from "vitest";
import { LiveEvents } from "../../../lib/status/api/live-events.js";
import { StatusError } from "../../../lib/status/index.js";
import { openFarm } from "./farm.js";

const parse = (text: string): [string, Record<string, unknown>][] =>
  [...text.matchAll(/event: (\w+)\ndata: (.*)\n\n/g)].map(([, name, data]) => [
    name ?? "",
    JSON.parse(data ?? ""),
  ]);

describe("/api/events", () => {
  it("begins with the state, and says what changed at most once per interval", async () => {
    await using farm = await openFarm();
    const asked = request({
      host: "127.0.0.1",
      port: farm.port,
      path: "/api/events?events=stepStarted",
      headers: { "accept-encoding": "gzip" },
    });
    asked.end();
    const [response] = (await once(asked, "response")) as [IncomingMessage];
    expect(response.headers).toMatchObject({
      "content-type": "text/event-stream",
      "cache-control": "no-store",
    });
    expect(response.headers["content-encoding"]).toBeUndefined();
    let text = "";
    response.setEncoding("utf8").on("data", (part: string) => {
      text += part;
    });
    await expect
      .poll(() => parse(text))
      .toMatchObject([["changed", { state: "active", topics: [], steps: 0 }]]);
    expect(farm.listeners.size).toBe(1);
    farm.step("hello");
    farm.build(1, "hello");
    for (const listener of farm.listeners) {
      for (let n = 0; n < 50; n++) listener({ type: "stepFinished" }, ["queue", "steps"]);
      listener({ type: "stepStarted" }, ["machines"]);
    }
    await expect.poll(() => parse(text), { timeout: 5_000 }).toHaveLength(3);
    const [, started, changed] = parse(text);
    expect(started).toEqual(["stepStarted", { type: "stepStarted" }]);
    expect(changed?.[1]).toMatchObject({
      topics: ["queue", "steps", "machines", "overview", "builds", "jobsets"],
      steps: 1,
    });
    response.destroy();
    await expect.poll(() => farm.listeners.size, { timeout: 5_000 }).toBe(0);
  });

  it("is not opened by HEAD", async () => {
    await using farm = await openFarm();
    expect(await farm.ask("HEAD", "/api/events")).toMatchObject({ status: 200, text: "" });
    expect(farm.listeners.size).toBe(0);
  });
});

describe("streams", () => {
  it("are bounded in number and in what they keep, and end when the runner closes", async () => {
    await using farm = await openFarm();
    const { api } = farm.source;
    if (api === undefined) throw new Error("the farm has no API");
    const live = new LiveEvents(farm.source, api, {
      now: () => 1,
      maxClients: 2,
      keptEvents: 3,
      intervalMs: 10_000,
    });
    const slow = live.open("all");
    const other = live.open(new Set());
    expect(() => live.check()).toThrow(StatusError);
    await other.return?.();
    live.check();
    for (const listener of farm.listeners) for (let n = 0; n < 10; n++) listener({ type: `event${n}` }, []);
    const { value } = await slow.next();
    expect(parse(value).map(([name, data]) => [name, data.count])).toEqual([
      ["dropped", 8],
      ["event7", undefined],
      ["event8", undefined],
      ["event9", undefined],
    ]);
    const waiting = slow.next();
    live.close();
    expect(await waiting).toEqual({ done: true, value: undefined });
    expect(() => live.check()).toThrow("the runner is stopping");
    expect(await live.open("all").next()).toEqual({ done: true, value: undefined });
    await expect.poll(() => farm.listeners.size).toBe(0);
  });
});
