// Every method of a store, called with arguments that are wrong: what it throws is an error of ours, and the store works
// afterwards. The methods are read from the class, so that a new one is under test.
import { inspect } from "node:util";
import { expect, it } from "vitest";
import { HydraError } from "../../../lib/errors.js";
import { DaemonStore } from "../../../lib/nix/daemon/daemon-store.js";
import { main, useMainStore } from "../../support/daemon-store.js";

useMainStore();

const wrong = [undefined, null, 5, "text", true, {}, () => {}];
/** Without required arguments, or slow and about the whole store. */
const left: ReadonlySet<string> = new Set([
  "constructor",
  "close",
  "collectGarbage",
  "findRoots",
  "ping",
  "queryAllValidPaths",
  "rootsSession",
  "verifyStore",
]);
/** Take any text, or any object, that the daemon takes. */
const takes: Readonly<Record<string, readonly unknown[]>> = {
  addIndirectRoot: ["text"],
  addPermRoot: ["text"],
  buildSession: [wrong[5]],
};

async function outcomeOf(name: string, value: unknown): Promise<unknown> {
  const method: unknown = Reflect.get(main.store, name);
  if (typeof method !== "function") throw new Error(`${name} is not a method`);
  try {
    const result: unknown = await Reflect.apply(
      method,
      main.store,
      Array.from({ length: Math.max(1, method.length) }, () => value),
    );
    if (typeof result === "object" && result !== null && Symbol.asyncIterator in result)
      for await (const piece of result as AsyncIterable<unknown>) expect(piece).toBeDefined();
    if (typeof result === "object" && result !== null && Symbol.asyncDispose in result)
      await (result as AsyncDisposable)[Symbol.asyncDispose]();
    return "taken";
  } catch (error) {
    return error;
  }
}

const methods = Object.entries(Object.getOwnPropertyDescriptors(DaemonStore.prototype))
  .filter(([name, { value }]) => typeof value === "function" && !left.has(name))
  .map(([name]) => name);

it.each(methods)("%s says what is wrong", async (name) => {
  for (const value of wrong) {
    if (takes[name]?.includes(value)) continue;
    const outcome = await outcomeOf(name, value);
    expect(outcome, `${inspect(value)}: ${String(outcome)}`).toBeInstanceOf(HydraError);
  }
});

it("works afterwards", async () => {
  const path = await main.store.addTextToStore("still-there", Buffer.from("text"), []);
  expect(await main.store.isValidPath(path)).toBe(true);
});
