/** Troubles of machines, from what the scheduler shows. */
import { expect, it } from "vitest";
import { type MachineFacts, machineTroubles } from "../../../lib/runner/service/machine-troubles.js";

const machine = (hostname: string, disabledUntil = 0): MachineFacts["held"][number] => ({
  info: { hostname } as MachineFacts["held"][number]["info"],
  disabledUntil,
  consecutiveFailures: 3,
});
const codes = (facts: Partial<MachineFacts>): string[] =>
  machineTroubles({
    builds: 1,
    machines: 1,
    held: [],
    storeTroubles: [],
    reasons: { unsupported: 0 },
    now: 100,
    ...facts,
  }).map(({ code, subject = "" }) => `${code} ${subject}`.trim());

it.each([
  [{}, []],
  [{ builds: 0, machines: 0 }, []],
  [{ machines: 0 }, ["no-machines"]],
  [{ machines: 0, reasons: { unsupported: 4 } }, ["no-machines"]],
  [{ reasons: { unsupported: 4 } }, ["steps-unsupported"]],
  [{ held: [machine("a", 100), machine("b", 101)] }, ["machine-held b"]],
  [{ storeTroubles: [{ hostname: "a", reason: "gone" }] }, ["machine-store-silent a"]],
] as const)("%j: %j", (facts, expected) => {
  expect(codes(facts)).toEqual(expected);
});
