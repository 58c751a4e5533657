// Every exported declaration in `lib/`, and every public method of a class that an entrance exports, has a docstring.
//
// `node .ci/check-docstrings.mjs [room]` prints what is missing, in all rooms or in one, and fails when there is any.
//
// Works on lines: biome's formatting puts top-level declarations in column 0 and class members in column 2.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const declaration =
  /^export (?:declare )?(?:abstract )?(?:async )?(?:const enum|function\*?|class|interface|type|const|let|enum|namespace) (\w+)/;
const method =
  /^ {2}(?:static |override |async |abstract |readonly )*(?:get |set )?\*?(?!constructor\b)([a-z]\w*)(?:<.*>)?\(/;

function sources(folder) {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((path) => !path.startsWith("lib/rpc/gen/"))
    .sort();
}

const texts = new Map(sources("lib").map((path) => [path, readFileSync(join(root, path), "utf8")]));

/** Names that an entrance exports from a file, by file; `*` for all of them. */
function exportedByEntrances() {
  const found = new Map();
  const visit = (path) => {
    const text = texts.get(path) ?? "";
    for (const [, names, target] of text.matchAll(
      /^export (?:type )?(\*(?: as \w+)?|\{[^}]*\}) from "(\.[^"]+)";/gm,
    )) {
      const file = normalize(join(dirname(path), target)).replace(/\.js$/, ".ts");
      const set = found.get(file) ?? new Set();
      found.set(file, set);
      if (names.startsWith("*")) set.add("*");
      else {
        for (const one of names.slice(1, -1).split(","))
          set.add(
            one
              .trim()
              .replace(/^type /, "")
              .split(" ")[0],
          );
      }
      if (file.endsWith("/index.ts")) visit(file);
    }
  };
  const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  for (const { types } of Object.values(exports)) {
    visit(types.replace("./dist/", "").replace(".d.ts", ".ts"));
  }
  return found;
}

/** Whether a docstring ends on the line before `index`. */
function documented(lines, index) {
  let at = index - 1;
  while (at >= 0 && /^\s*(?:\/\/|@\w)/.test(lines[at])) at--;
  if (at < 0 || !lines[at].trimEnd().endsWith("*/")) return false;
  while (at >= 0 && !lines[at].includes("/*")) at--;
  return at >= 0 && lines[at].trimStart().startsWith("/**");
}

const entrances = exportedByEntrances();
/** @type {{ room: string, place: string }[]} */
const missing = [];
let seen = 0;

for (const [path, text] of texts) {
  const room = /^lib\/([^/]+)\//.exec(path)?.[1] ?? ".";
  const lines = text.split("\n");
  const publicNames = entrances.get(path);
  const complain = (index, name) => missing.push({ room, place: `${path}:${index + 1} ${name}` });
  let previous;
  let publicClass;
  let implemented = "";
  let previousMethod;
  for (const [index, line] of lines.entries()) {
    const [, name] = declaration.exec(line) ?? [];
    if (name !== undefined) {
      seen++;
      // Further overloads, and the value beside a type of the same name, share the first docstring.
      if (name !== previous && !documented(lines, index)) complain(index, name);
      previous = name;
    }
    if (/^\S/.test(line) && !line.startsWith(")") && !line.startsWith("}")) {
      const isClass = /^export (?:abstract )?class (\w+)/.exec(line);
      const isPublic = isClass && (publicNames?.has("*") || publicNames?.has(isClass[1]));
      publicClass = isPublic ? isClass[1] : undefined;
      previousMethod = undefined;
      implemented = line;
    }
    if (publicClass === undefined) continue;
    const [, member] = method.exec(line) ?? [];
    if (member === undefined) continue;
    seen++;
    if (member !== previousMethod && !documented(lines, index) && !inherits(implemented, member)) {
      complain(index, `${publicClass}.${member}`);
    }
    previousMethod = member;
  }
}

/** Whether a class that implements or extends something inherits the docstring of a member. */
function inherits(head, member) {
  const parents = /\b(?:implements|extends) (.+?) \{?$/.exec(head)?.[1] ?? "";
  return parents.split(/, | implements /).some((parent) => {
    const name = parent.replace(/<.*/, "").trim();
    for (const text of texts.values()) {
      const head = new RegExp(`^export (?:abstract )?(?:interface|class) ${name}\\b`, "m").exec(text);
      const body = head === null ? undefined : text.slice(head.index, text.indexOf("\n}", head.index));
      if (body !== undefined)
        return new RegExp(`\\*/\\n {2}(?:readonly |abstract )*${member}\\??[(<:]`).test(body);
    }
    return false;
  });
}

const [only] = process.argv.slice(2);
const shown = missing.filter(({ room }) => only === undefined || room === only);
for (const { place } of shown) process.stderr.write(`no docstring: ${place}\n`);
if (shown.length > 0) {
  process.stderr.write(`${shown.length} of ${seen} without a docstring\n`);
  process.exit(1);
}
