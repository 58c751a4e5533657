/** Whose machine it is: while it is in use, and as long as a report may be repeated. */
import { describe, expect, it } from "vitest";
import type { Principal } from "../../../lib/rpc/index.js";
import { answerMemoryMs, MachineOwners } from "../../../lib/runner/state/machine-owners.js";
import { machineId } from "../../../lib/scheduler/ids.js";

const one: Principal = { kind: "token", name: "one" };
const other: Principal = { kind: "token", name: "other" };
const machine = machineId("m");

function world() {
  const inUse = new Set<string>();
  let time = 0;
  const owners = new MachineOwners({ inUse: (id) => inUse.has(id), now: () => time });
  return { owners, inUse, pass: (ms: number) => (time += ms) };
}

describe("a machine", () => {
  it("is its principal's while it is in use, and only its host takes it over", () => {
    const { owners, inUse } = world();
    expect(owners.claim(machine, { principal: one, hostname: "a" })).toBe(true);
    inUse.add(machine);
    expect(owners.claim(machine, { principal: other, hostname: "a" })).toBe(false);
    expect(owners.claim(machine, { principal: one, hostname: "b" })).toBe(false);
    expect(owners.claim(machine, { principal: one, hostname: "a" })).toBe(true);
    expect(owners.owns(one, machine)).toBe(true);
    expect(owners.owns(other, machine)).toBe(false);
    expect(owners.machinesOf(one)).toEqual([machine]);
    expect(owners.machinesOf(other)).toEqual([]);
  });

  it("is free once it is not in use", () => {
    const { owners, inUse } = world();
    owners.claim(machine, { principal: one, hostname: "a" });
    inUse.add(machine);
    inUse.delete(machine);
    expect(owners.of(machine)).toBeUndefined();
    expect(owners.machinesOf(one)).toEqual([]);
    expect(owners.claim(machine, { principal: other, hostname: "b" })).toBe(true);
  });

  it("stays its principal's while a report may be repeated", () => {
    const { owners, inUse, pass } = world();
    owners.claim(machine, { principal: one, hostname: "a" });
    inUse.add(machine);
    owners.reporting(machine);
    inUse.delete(machine);
    pass(answerMemoryMs - 1);
    expect(owners.owns(one, machine)).toBe(true);
    expect(owners.claim(machine, { principal: other, hostname: "a" })).toBe(false);
    expect(owners.claim(machine, { principal: one, hostname: "renamed" })).toBe(true);
    pass(1);
    expect(owners.of(machine)).toBeUndefined();
    expect(owners.claim(machine, { principal: other, hostname: "a" })).toBe(true);
  });

  it("that came to nothing leaves nothing behind", () => {
    const { owners } = world();
    for (let i = 0; i < 1000; i++) {
      expect(owners.claim(machineId(`m${i}`), { principal: one, hostname: "a" })).toBe(true);
    }
    expect(owners.machinesOf(one)).toEqual([]);
    expect(owners.size).toBeLessThan(100);
  });
});
