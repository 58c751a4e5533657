/** The planned derivations as derivations in a store. */
import {
  type ByteString,
  byteStringFromText,
  type Derivation,
  type DerivationOutput,
  type StorePath,
} from "../../../lib/nix/index.js";
import type { PlannedDerivation, RunnerPlan } from "./runner-plan.js";
import { pathOf } from "./store-paths.js";

export interface KnownDerivation {
  readonly drv: StorePath;
  /** Another derivation with the same outputs, as an evaluation may replace one by the other. */
  readonly twin: StorePath | undefined;
  readonly derivation: Derivation;
  readonly planned: PlannedDerivation;
}

const text = byteStringFromText;

/** By name, inputs before those that need them. */
export function makeDerivations(plan: RunnerPlan): Map<string, KnownDerivation> {
  const made = new Map<string, KnownDerivation>();
  for (const planned of plan.derivations.values()) {
    const seed = String(plan.seed);
    const inputs = planned.inputs.flatMap((name) => made.get(name) ?? []);
    const open = inputs.some(({ derivation }) => derivation.outputs.get("out")?.kind !== "inputAddressed");
    const output: DerivationOutput = planned.floating
      ? { kind: "caFloating", method: "nixArchive", algorithm: "sha256" }
      : open
        ? { kind: "deferred" }
        : { kind: "inputAddressed", path: pathOf(seed, planned.name) };
    const env = new Map<ByteString, ByteString>([
      [text("name"), text(planned.name)],
      [text("out"), text("")],
    ]);
    if (planned.features.length > 0) {
      env.set(text("requiredSystemFeatures"), text(planned.features.join(" ")));
    }
    made.set(planned.name, {
      drv: pathOf(seed, `${planned.name}.drv`),
      twin: output.kind === "inputAddressed" ? pathOf(`${seed} twin`, `${planned.name}.drv`) : undefined,
      planned,
      derivation: {
        name: planned.name,
        outputs: new Map([["out", output]]),
        inputSources: [],
        inputDerivations: new Map(
          inputs.map((input) => [input.drv, { outputs: ["out"], dynamic: new Map() }]),
        ),
        system: text(planned.system),
        builder: text("/bin/sh"),
        args: [],
        env,
      },
    });
  }
  return made;
}
