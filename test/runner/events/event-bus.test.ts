/** The bus: order, delivery after the change, and listeners that misbehave. */
import { expect, it } from "vitest";
import { createLogger } from "../../../lib/log.js";
import { EventBus, type MachineLeft, type RunnerEvent } from "../../../lib/runner/events/index.js";

function left(id: string): MachineLeft {
  return { type: "machineLeft", at: 1, machine: { id, hostname: id }, reason: "removed" };
}

const released: RunnerEvent = {
  type: "machineReleased",
  at: 2,
  machine: { id: "m", hostname: "m" },
  because: "over",
};

function setup() {
  const lines: string[] = [];
  return { lines, bus: new EventBus(createLogger({ target: "t", write: (line) => lines.push(line) })) };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

it("delivers in order, after the code that emits", async () => {
  const { bus } = setup();
  const seen: string[] = [];
  bus.on("machineLeft", ({ machine }) => seen.push(machine.id));
  bus.on("machineReleased", () => seen.push("released"));
  bus.emit(left("a"));
  bus.emit(released);
  bus.emit(left("b"));
  expect(seen).toEqual([]);
  await settled();
  expect(seen).toEqual(["a", "released", "b"]);
});

it("delivers what a listener causes, too", async () => {
  const { bus } = setup();
  const seen: string[] = [];
  bus.on("machineLeft", ({ machine }) => {
    seen.push(machine.id);
    if (machine.id === "a") bus.emit(left("b"));
  });
  bus.emit(left("a"));
  await settled();
  expect(seen).toEqual(["a", "b"]);
});

it("stops calling a listener that has unsubscribed, even in the middle of a batch", async () => {
  const { bus } = setup();
  const seen: string[] = [];
  const unsubscribe = bus.on("machineLeft", ({ machine }) => {
    seen.push(machine.id);
    unsubscribe();
  });
  bus.emit(left("a"));
  bus.emit(left("b"));
  await settled();
  {
    using _short = bus.on("machineLeft", ({ machine }) => seen.push(`short ${machine.id}`));
  }
  bus.emit(left("c"));
  await settled();
  expect(seen).toEqual(["a"]);
});

it("is not harmed by listeners that throw or reject, and says so once for each", async () => {
  const { bus, lines } = setup();
  const seen: string[] = [];
  bus.on("machineLeft", () => {
    throw new Error("thrown");
  });
  bus.on("machineLeft", () => Promise.reject(new Error("rejected")));
  bus.on("machineLeft", ({ machine }) => seen.push(machine.id));
  for (const id of ["a", "b", "c"]) {
    bus.emit(left(id));
    await settled();
  }
  expect(seen).toEqual(["a", "b", "c"]);
  expect(lines).toHaveLength(2);
  expect(lines[0]).toMatch(/WARN.*listener.*event=machineLeft.*error="thrown"/);
  expect(lines[1]).toMatch(/error="rejected"/);
});

it("spares a listener whose promises do not settle", async () => {
  const { bus, lines } = setup();
  const waiting: (() => void)[] = [];
  bus.on("machineLeft", () => new Promise<void>((resolve) => waiting.push(resolve)));
  for (let i = 0; i < 1_500; i++) bus.emit(left("a"));
  await settled();
  expect(waiting).toHaveLength(1_000);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/too slow/);
  for (const resolve of waiting) resolve();
  await settled();
  bus.emit(left("a"));
  await settled();
  expect(waiting).toHaveLength(1_001);
});

it("gives a reader what happened since it asked, by name, until its signal aborts", async () => {
  const { bus } = setup();
  const abort = new AbortController();
  const stream = bus.events({ signal: abort.signal, names: ["machineLeft"] });
  bus.emit(left("a"));
  bus.emit(released);
  bus.emit(left("b"));
  const seen: string[] = [];
  for await (const event of stream) {
    seen.push(event.machine.id);
    if (seen.length === 2) setTimeout(() => abort.abort(), 1);
  }
  expect(seen).toEqual(["a", "b"]);
  expect((await stream.next()).done).toBe(true);
});

it("drops the oldest for a slow reader, counts them and says it once", async () => {
  const { bus, lines } = setup();
  const stream = bus.events({ limit: 3 });
  for (const id of ["a", "b", "c", "d", "e", "f", "g"]) bus.emit(left(id));
  await settled();
  expect(stream.dropped).toBe(4);
  expect(lines).toHaveLength(1);
  bus.close();
  const rest: RunnerEvent[] = [];
  for await (const event of stream) rest.push(event);
  expect(rest).toEqual([left("e"), left("f"), left("g")]);
});

it("holds no more for a slow reader than its limit, however long it reads", async () => {
  const { bus } = setup();
  const stream = bus.events({ limit: 10 });
  for (let i = 0; i < 1_000; i++) {
    bus.emit(left(`${i}`));
    await Promise.resolve();
    await Promise.resolve();
    if (i % 3 === 0) expect((await stream.next()).value).toMatchObject({ type: "machineLeft" });
  }
  expect(stream.dropped).toBeGreaterThan(600);
  bus.close();
  const rest: RunnerEvent[] = [];
  for await (const event of stream) rest.push(event);
  expect(rest).toHaveLength(9);
  expect(rest.at(-1)).toEqual(left("999"));
});

it("ends streams with the runner: after what was emitted, and at once when it is over already", async () => {
  const { bus } = setup();
  const stream = bus.events();
  const waiting = stream.next();
  bus.emit(left("a"));
  bus.emit(left("b"));
  bus.close();
  expect((await waiting).value).toEqual(left("a"));
  expect((await stream.next()).value).toEqual(left("b"));
  expect((await stream.next()).done).toBe(true);
  expect((await bus.events().next()).done).toBe(true);
});

it("lets go of a reader that leaves its loop", async () => {
  const { bus, lines } = setup();
  const stream = bus.events({ limit: 2 });
  bus.emit(left("a"));
  for await (const _event of stream) break;
  for (let i = 0; i < 10; i++) bus.emit(left("b"));
  await settled();
  expect(stream.dropped).toBe(0);
  expect(lines).toEqual([]);
});
