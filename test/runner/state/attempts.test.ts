/** Attempts are found by machine, derivation and output, as by looking at all of them. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { parseStorePath, type StorePath } from "../../../lib/nix/path/store-path.js";
import { type Attempt, AttemptRegistry } from "../../../lib/runner/state/attempts.js";
import { attemptId, machineId } from "../../../lib/scheduler/ids.js";
import { simpleAttempt } from "../../support/recording.js";

const pathOf = (digit: number, name: string): StorePath => parseStorePath(`${`${digit}`.repeat(32)}-${name}`);
const names = ["x", "x-dev", "y"];
const drvs = names.map((name, index) => pathOf(index, `${name}.drv`));
const paths = names.flatMap((name) => [pathOf(1, name), pathOf(2, name)]);

const anAttempt: fc.Arbitrary<Attempt> = fc
  .record({
    id: fc.nat(5),
    machine: fc.nat(2),
    drv: fc.constantFrom(...drvs),
    name: fc.constantFrom("x", "y"),
    outputs: fc.dictionary(fc.constantFrom("out", "dev"), fc.option(fc.constantFrom(...paths))),
  })
  .map(({ id, machine, drv, name, outputs }) => {
    const attempt = simpleAttempt(1, "x");
    const known = Object.entries(outputs).map(([output, path]) => [output, path ?? undefined] as const);
    return {
      ...attempt,
      id: attemptId(`${id}`),
      machine: machineId(`${machine}`),
      drv,
      facts: { ...attempt.facts, name, outputs: new Map(known) },
    };
  });

/** As Nix names it. */
function outputName(name: string, output: string): string {
  return output === "out" ? name : `${name}-${output}`;
}

function ids(attempts: Iterable<Attempt>): string[] {
  return [...new Set([...attempts].map(({ id }) => String(id)))].sort();
}

test("every question is answered as by looking at all attempts", () => {
  const step = fc.oneof(anAttempt, fc.nat(5));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
      const registry = new AttemptRegistry();
      const model = new Map<string, Attempt>();
      const removed: Attempt[] = [];
      const gone: Attempt[] = [];
      registry.onRemoved((attempt) => removed.push(attempt));
      for (const step of steps) {
        if (typeof step === "number") {
          const attempt = model.get(`${step}`);
          if (attempt !== undefined) gone.push(attempt);
          model.delete(`${step}`);
          registry.remove(attemptId(`${step}`));
        } else {
          model.set(String(step.id), step);
          registry.add(step);
        }
      }
      const all = [...model.values()];
      expect(removed).toEqual(gone);
      expect(registry.size).toBe(all.length);
      expect(ids(registry.all())).toEqual(ids(all));
      for (const machine of ["0", "1", "2"].map(machineId)) {
        const own = all.filter((one) => one.machine === machine);
        expect(ids(registry.onMachine(machine))).toEqual(ids(own));
        for (const one of all) expect(registry.of(machine, one.id)).toBe(own.includes(one) ? one : undefined);
      }
      for (const drv of drvs)
        expect(ids(registry.forDerivation(drv))).toEqual(ids(all.filter((one) => one.drv === drv)));
      for (const path of paths) {
        const making = all.filter(({ facts }) =>
          [...facts.outputs].some(([output, known]) =>
            known === undefined ? outputName(facts.name, output) === path.slice(33) : known === path,
          ),
        );
        expect(ids(registry.making(path))).toEqual(ids(making));
      }
    }),
  );
});
