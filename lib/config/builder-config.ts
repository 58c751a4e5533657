import { builderSettings } from "./builder-settings.js";
import { checkValues } from "./check-file.js";
import { loadFile } from "./load-file.js";
import { tell } from "./tell.js";
import type { BuilderConfig, BuilderConfigInput, DefineOptions, Loaded, LoadOptions } from "./types.js";

/** What can be said against settings that are in force nevertheless. */
function warningsOf(source: string, { supportedFeatures, mandatoryFeatures }: BuilderConfig): string[] {
  const unsupported =
    supportedFeatures && mandatoryFeatures.filter((feature) => !supportedFeatures.includes(feature));
  if (unsupported === undefined || unsupported.length === 0) return [];
  return [
    `${source}: key 'mandatoryFeatures': ${unsupported.join(", ")} must also be listed in 'supportedFeatures', or the machine gets no work`,
  ];
}

/**
 * Reads and checks the settings of the builder.
 * @throws ConfigError with one line that names file and key
 */
export async function loadBuilderConfig(options: LoadOptions = {}): Promise<Loaded<BuilderConfig>> {
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
