/** What a search finds in the simulated farm. */
import type { ApiHit } from "../../../lib/status/api/types.js";
import { drvOf, type FarmFacts, names } from "./facts.js";
import { machinesOf } from "./machines.js";

export function hitsFor(farm: FarmFacts, text: string): readonly ApiHit[] {
  const wanted = text.toLowerCase();
  const machines = machinesOf(farm)
    .filter(({ name }) => name.includes(wanted))
    .slice(0, 5)
    .map(({ name, words }): ApiHit => ({ kind: "machine", id: name, title: name, detail: words }));
  const steps = names
    .map(
      (name, index): ApiHit => ({
        kind: "step",
        id: drvOf(index),
        title: name,
        detail: "waits for 3 inputs",
      }),
    )
    .filter(({ title }) => title.includes(wanted));
  return [...steps, ...machines].slice(0, 20);
}
