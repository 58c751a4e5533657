import { builderSettings } from "./builder-settings.js";
import { loadFile } from "./load-file.js";
import type { BuilderConfig, Loaded, LoadOptions } from "./types.js";

/**
 * Reads and checks the settings of the builder.
 * @throws UsageError with one line that names file and key
 */
export async function loadBuilderConfig(options: LoadOptions = {}): Promise<Loaded<BuilderConfig>> {
  const { name: file, path, config, warnings: noFile } = await loadFile(options, builderSettings);
  const warnings = [...noFile];
  const { supportedFeatures, mandatoryFeatures } = config;
  const unsupported =
    supportedFeatures && mandatoryFeatures.filter((feature) => !supportedFeatures.includes(feature));
  if (unsupported !== undefined && unsupported.length > 0) {
    warnings.push(
      `${file}: key 'mandatoryFeatures': ${unsupported.join(", ")} must also be listed in 'supportedFeatures', or the machine gets no work`,
    );
  }
  return { config, path, warnings };
}
