// `npm run docs`: the reference of every public name, as HTML in `docs/api`, from the docstrings. A warning fails it: a
// link that leads nowhere, a parameter that does not exist, a type that is mentioned but not exported.
// With `--check` nothing is written: that takes a minute of processor time, the checks a fourth of it.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Application } from "typedoc";

const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");
const { exports } = JSON.parse(readFileSync(`${root}/package.json`, "utf8"));
const entryPoints = Object.values(exports).map(({ types }) => join(root, types));

// How the types of settings and counters are made from their tables; the results are there.
const typeMachinery = ["Described", "InputOf", "Ranged", "ValuesOf", "counterFamilies", "filterLevels"];
// What public classes hold for the library itself; no promise is made of it.
const insides = [
  "CircuitBreaker",
  "HeapItem",
  "IndexedHeap",
  "Jobset",
  "JobsetMask",
  "JobsetSet",
  "Silence",
  "StartedJob",
  "StepKeys",
  "Timer",
  "UsageEntry",
];

const application = await Application.bootstrap({
  name: "hydra-runner",
  entryPoints,
  tsconfig: `${root}/.ci/reference/tsconfig.json`,
  basePath: root,
  readme: `${root}/docs/library.md`,
  out: `${root}/docs/api`,
  cleanOutputDir: true,
  disableSources: true,
  excludeExternals: true,
  excludePrivate: true,
  githubPages: false,
  // The type check of `npm test` has checked it, with the project's own compiler.
  skipErrorChecking: true,
  treatWarningsAsErrors: true,
  intentionallyNotExported: [...typeMachinery, ...insides],
  validation: { notExported: true, invalidLink: true, notDocumented: false },
});
const project = await application.convert();
if (project === undefined) process.exit(1);
application.validate(project);
const isClean = () => !application.logger.hasErrors() && !application.logger.hasWarnings();
if (isClean() && !process.argv.includes("--check")) await application.generateOutputs(project);
process.exit(isClean() ? 0 : 1);
