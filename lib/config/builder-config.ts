import { builderSettings } from "./builder-settings.js";
import { checkValues } from "./check-file.js";
import { checkLoadOptions, loadFile } from "./load-file.js";
import { tell } from "./tell.js";
import type { BuilderConfig, BuilderConfigInput, DefineOptions, Loaded, LoadOptions } from "./types.js";

/** What can be said against settings that are in force nevertheless. */
function warningsOf(source: string, config: BuilderConfig): string[] {
  return [...unmatchable(source, config), ...unsupported(source, config)];
}

/** Systems and features of derivations are words: no derivation asks for anything else. */
function unmatchable(source: string, config: BuilderConfig): string[] {
  return (["systems", "supportedFeatures", "mandatoryFeatures"] as const).flatMap((key) => {
    const wrong = config[key]?.find((one) => !/^\S+$/.test(one));
    return wrong === undefined
      ? []
      : [
          `${source}: key '${key}': ${JSON.stringify(wrong)} is not one word, so no derivation can ask for it`,
        ];
  });
}

function unsupported(source: string, { supportedFeatures, mandatoryFeatures }: BuilderConfig): string[] {
  const missing =
    supportedFeatures && mandatoryFeatures.filter((feature) => !supportedFeatures.includes(feature));
  if (missing === undefined || missing.length === 0) return [];
  return [
    `${source}: key 'mandatoryFeatures': ${missing.join(", ")} must also be listed in 'supportedFeatures', or the machine gets no work`,
  ];
}

/**
 * Reads and checks the settings of the builder.
 * @throws ConfigError with one line that names file and key
 */
export async function loadBuilderConfig(options: LoadOptions = {}): Promise<Loaded<BuilderConfig>> {
  checkLoadOptions("loadBuilderConfig", options);
  const { name, path, config, warnings } = await loadFile(options, builderSettings);
  return { config, path, warnings: [...warnings, ...warningsOf(name, config)] };
}

/**
 * Settings of the builder in code: any of the keys of the file, with the same names, units and ranges, checked like a
 * file.
 *
 * ```ts
 * const config = defineBuilderConfig({ maxJobs: 2, systems: ["x86_64-linux"] });
 * ```
 *
 * @throws ConfigError that names the key and what is allowed
 */
export function defineBuilderConfig(
  values: BuilderConfigInput = {},
  options: Pick<DefineOptions, "onWarning"> = {},
): BuilderConfig {
  const name = "defineBuilderConfig";
  const config = checkValues(name, values, builderSettings);
  for (const warning of warningsOf(name, config)) tell(options, warning);
  return config;
}
