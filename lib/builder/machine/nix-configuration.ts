/** The settings of the local Nix that a runner wants to know, as `nix` itself reports them. */

import { execFile } from "node:child_process";
import { tmpdir } from "node:os";
import { promisify } from "node:util";
import { anObject, aSignal, aText, checkArgument, checkMembers, optional } from "../../argument-checks.js";
import { errorChain } from "../../errors.js";
import { BuilderError } from "../errors.js";

const run = promisify(execFile);

/** The settings of the local Nix that a runner needs to know. */
export interface NixConfiguration {
  readonly system: string;
  readonly extraPlatforms: readonly string[];
  readonly systemFeatures: readonly string[];
  /** As Nix prints them. */
  readonly substituters: readonly string[];
  readonly useCgroups: boolean;
  /** Where builds run, when set. */
  readonly buildDir: string | undefined;
  /** Output of `nix --version`, e.g. `nix (Nix) 2.8.0`; empty when it failed. */
  readonly nixVersion: string;
}

/** How `nix` is run. */
export interface ReadNixConfigurationOptions {
  /** Default: that of this process. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** The program; default `nix`. */
  readonly program?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

function hostSystem(): string {
  const architecture =
    { x64: "x86_64", arm64: "aarch64", ia32: "i686" }[process.arch as string] ?? process.arch;
  return `${architecture}-${process.platform === "darwin" ? "darwin" : "linux"}`;
}

/** System features that Nix adds, whatever `system-features` says, when the experimental feature of the name is on. */
const implied: ReadonlySet<string> = new Set(["ca-derivations", "recursive-nix"]);

function impliedFeatures(experimental: readonly string[]): string[] {
  return experimental.filter((feature) => implied.has(feature));
}

/** `experimental-features` of Nix's settings as text: there the features have names in every version. */
export function parseExperimentalFeatures(text: string): string[] {
  const line = /^experimental-features =(.*)$/m.exec(text)?.[1] ?? "";
  return line.split(/\s+/).filter((word) => word !== "");
}

/**
 * Reads the JSON of `nix show-config --json`: an object of `{value: …}` by setting name. Settings that this Nix does
 * not know count as unset. `experimentalFeatures`: their names, for a Nix whose JSON has only numbers for them.
 *
 * @throws BuilderError `nix-configuration`
 */
export function parseNixConfiguration(
  text: string,
  nixVersion: string,
  experimentalFeatures?: readonly string[],
): NixConfiguration {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new BuilderError("nix-configuration", "Nix printed settings that are not JSON", { cause: error });
  }
  if (typeof json !== "object" || json === null) {
    throw new BuilderError("nix-configuration", "Nix printed settings that are not an object");
  }
  const settings = json as Readonly<Record<string, unknown>>;
  const value = (name: string): unknown => {
    const setting = Object.hasOwn(settings, name) ? settings[name] : undefined;
    return typeof setting === "object" && setting !== null && "value" in setting ? setting.value : undefined;
  };
  const word = (name: string): string | undefined => {
    const found = value(name);
    return typeof found === "string" && found !== "" ? found : undefined;
  };
  const list = (name: string): string[] => {
    const found = value(name);
    if (Array.isArray(found)) return found.filter((item) => typeof item === "string");
    return typeof found === "string" ? found.split(/\s+/).filter((word) => word !== "") : [];
  };
  return {
    system: word("system") ?? hostSystem(),
    extraPlatforms: list("extra-platforms"),
    systemFeatures: [
      ...new Set([
        ...list("system-features"),
        ...impliedFeatures(experimentalFeatures ?? list("experimental-features")),
      ]),
    ],
    substituters: list("substituters"),
    useCgroups: value("use-cgroups") === true,
    buildDir: word("build-dir"),
    nixVersion,
  };
}

/** Runs `nix` for its settings and version. @throws BuilderError `nix-configuration` */
export async function readNixConfiguration(
  options: ReadNixConfigurationOptions = {},
): Promise<NixConfiguration> {
  checkMembers("readNixConfiguration", options, {
    program: optional(aText),
    env: optional(anObject),
    signal: optional(aSignal),
  });
  const program = options.program ?? "nix";
  const nix = async (args: readonly string[]): Promise<string> => {
    const { stdout } = await run(program, [...args], {
      env: { ...(options.env ?? process.env) },
      maxBuffer: 16 << 20,
      timeout: 60_000,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    return stdout;
  };
  const experimental = ["--extra-experimental-features", "nix-command"];
  const version = nix(["--version"]).then(
    (text) => text.trim(),
    () => "",
  );
  let command = [...experimental, "show-config"];
  let settings: string;
  try {
    // The old name first: new versions still know it, old ones do not know the new one.
    settings = await nix([...command, "--json"]);
  } catch (oldNameFailed) {
    try {
      command = [...experimental, "config", "show"];
      settings = await nix([...command, "--json"]);
    } catch (error) {
      const cause = (error as { code?: unknown }).code === "ENOENT" ? error : oldNameFailed;
      const problem = errorChain(cause).split("\n", 1)[0];
      throw new BuilderError(
        "nix-configuration",
        `Could not read Nix's settings with '${program} show-config --json' (is nix on PATH?): ${problem}`,
        { cause },
      );
    }
  }
  const named = await nix(command).then(parseExperimentalFeatures, () => undefined);
  return parseNixConfiguration(settings, await version, named);
}

/** Where Nix of this version (`2.30.1`) runs builds when `build-dir` is not set. */
export function defaultBuildDir(nixVersion: string, stateDir: string): string {
  checkArgument("defaultBuildDir", "nixVersion", nixVersion, aText);
  checkArgument("defaultBuildDir", "stateDir", stateDir, aText);
  const [, major = "0", minor = "0"] = /(\d+)\.(\d+)/.exec(nixVersion) ?? [];
  const ownFolder = Number(major) > 2 || (Number(major) === 2 && Number(minor) >= 30);
  return ownFolder ? `${stateDir}/builds` : tmpdir();
}
