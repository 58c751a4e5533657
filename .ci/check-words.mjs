// Comments, messages and documents use the field's words: what this finds has a usual term, given beside it.
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const folders = ["lib", "bin", "bench", "examples", "docs"];
const documents = ["README.md", "CONTRIBUTING.md"];
const skipped = /(?:^|\/)node_modules\/|^lib\/rpc\/gen\/|^docs\/api-report\//;

/** @type {readonly (readonly [RegExp, string])[]} */
const words = [
  [/\bwhoever\b/i, "the caller, every client, … (name it)"],
  [/\banew\b/i, "again"],
  [/\bfor ever\b/i, "indefinitely"],
  [/\bhanded out\b|\bhand-outs?\b/i, "assigned, assignment"],
  [/\bin work\b/i, "in progress"],
  [/\btime-outs?\b/i, "timeout"],
  [/\bback-(?:off|pressure)\b/i, "backoff, backpressure"],
  [/\btake-over\b/i, "takeover"],
  // Names in code and the Unix user do not count.
  [/(?<!["`'])\b(?:nobody|somebody|anybody)\b(?!:)/i, "say who, or what does not happen"],
  [/\b(?:is|are) told\b(?! apart)/i, "name who tells what: is notified of, learns, reports"],
  [/(?<!\bthere )\b(?:is|are) no (?!longer\b|more\b)[a-z]+/i, "is not a …"],
  [/\bas long as it lives\b/i, "until it is closed"],
  [/\btakes? in\b/i, "ingests, accepts"],
  [/\blooks? again\b/i, "checks again"],
  [/\b(?:say|said|tells?|told) of\b|\bsays of (?!how\b)/i, "reports about, declares, announces"],
  [/\bof no use\b/i, "useless, does not work, does not help"],
  [/\band the like\b/i, "such as …"],
  [/\bof one's own\b/i, "custom, your own"],
  [/\bcan(?:not)? be had\b/i, "can be fetched"],
];

function filesOf(folder) {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(?:tsx?|md|toml)$/.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((path) => !skipped.test(path));
}

let found = 0;
for (const path of [...documents, ...folders.flatMap(filesOf)]) {
  for (const [index, line] of readFileSync(join(root, path), "utf8").split("\n").entries()) {
    for (const [word, instead] of words) {
      const [match] = word.exec(line) ?? [];
      if (match === undefined) continue;
      found++;
      process.stderr.write(`${path}:${index + 1}: "${match}": ${instead}\n`);
    }
  }
}
if (found > 0) process.exit(1);
