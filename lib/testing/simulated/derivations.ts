/** The planned derivations as derivations in a store. */
import {
  type ByteString,
  byteStringFromText,
  type Derivation,
  type DerivationOutput,
  type StorePath,
} from "../../nix/index.js";
import { pathOf } from "./store-paths.js";

/** What a derivation is made of. */
export interface DerivationPlan {
  readonly name: string;
  /** Names of those that it needs. */
  readonly inputs: readonly string[];
  readonly system: string;
  readonly features: readonly string[];
  /** Content-addressed: its path, and those of all that need it, are known when it is built. */
  readonly floating: boolean;
}

/** A derivation in the simulated store. */
export interface KnownDerivation<Plan extends DerivationPlan = DerivationPlan> {
  readonly drv: StorePath;
  /** Another derivation with the same outputs, as an evaluation may replace one by the other. */
  readonly twin: StorePath | undefined;
  readonly derivation: Derivation;
  readonly planned: Plan;
}

const text = byteStringFromText;

/** By name. `plans`: inputs before those that need them; `seed`: decides the store paths. */
export function makeDerivations<Plan extends DerivationPlan>(
  seed: string,
  plans: Iterable<Plan>,
): Map<string, KnownDerivation<Plan>> {
  const made = new Map<string, KnownDerivation<Plan>>();
  for (const planned of plans) {
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
