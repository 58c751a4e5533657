import { describe, expect, test } from "vitest";
import { RunnerLink } from "../../../lib/builder/connection/runner-link.js";
import { RpcError } from "../../../lib/rpc/index.js";
import { FakeRunner } from "../../support/fake-runner.js";

const never = new AbortController().signal;
const api = () => new FakeRunner().connect();
const cut = () => new RpcError("unavailable", "connection lost");

describe("a call over a link", () => {
  test("waits for a connection", async () => {
    const link = new RunnerLink();
    const result = link.call(async () => "done", never);
    link.attach(api(), false);
    expect(await result).toBe("done");
  });

  test("that was cut is made again with the next connection, if the runner takes builders back", async () => {
    const link = new RunnerLink();
    const [first, second] = [api(), api()];
    link.attach(first, true);
    const used: unknown[] = [];
    const result = link.call(async (current) => {
      used.push(current);
      if (current === first) throw cut();
      return "done";
    }, never);
    link.detach();
    link.attach(second, true);
    expect(await result).toBe("done");
    expect(used).toEqual([first, second]);
  });

  test("that was cut is not made again with other runners", async () => {
    const link = new RunnerLink();
    link.attach(api(), false);
    await expect(link.call(() => Promise.reject(cut()), never)).rejects.toMatchObject({
      code: "unavailable",
    });
  });

  test("that the runner refused is not made again", async () => {
    const link = new RunnerLink();
    link.attach(api(), true);
    const refused = link.call(() => Promise.reject(new RpcError("not-found", "no such build")), never);
    await expect(refused).rejects.toMatchObject({ code: "not-found" });
  });

  test("ends with its signal while it waits", async () => {
    const stop = new AbortController();
    const result = new RunnerLink().call(async () => "done", stop.signal);
    stop.abort(new Error("enough"));
    await expect(result).rejects.toThrow("enough");
  });
});
