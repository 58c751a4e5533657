/** Every counter is raised and every histogram observed somewhere, or its help text says that it is always 0. */
import { describe, expect, it } from "vitest";
import { Metrics } from "../../../lib/status/index.js";
import { counterFamilies } from "../../../lib/status/metrics/counters.js";
import { codeOf } from "../../support/source-text.js";

const lib = codeOf("lib");
/** The arguments of all calls of `add` on something named metrics. */
const additions = [...lib.matchAll(/\bmetrics\.add\(([^;]*?)\);/g)].map(([, text]) => text ?? "").join("\n");

describe("counters", () => {
  it.each(
    Object.entries(counterFamilies).map(([name, [, help]]) => ({
      name,
      alwaysZero: help.startsWith("Always 0"),
    })),
  )("$name is raised (or always 0: $alwaysZero)", ({ name, alwaysZero }) => {
    expect(additions.includes(`"${name}"`)).toBe(!alwaysZero);
  });
});

describe("histograms", () => {
  const methods = Object.getOwnPropertyNames(Metrics.prototype).filter((name) => /^observe|^note/.test(name));

  it("are found", () => {
    expect(methods).toContain("observeInputs");
  });

  it.each(methods)("%s is called", (name) => {
    expect(lib).toMatch(new RegExp(`metrics\\.${name}\\(`));
  });
});
