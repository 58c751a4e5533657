// `npm run api-report`: writes what each entrance exports into `docs/api-report/`, so that a change of the public
// surface is seen in review. With `--check` it writes nothing and fails where a report is out of date.
//
// Works on the emitted declarations in `dist/`: the compiler prints every top-level declaration from column 0.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = join(root, "docs/api-report");
const withoutComments = (text) => text.replaceAll(/^[ \t]*\/\*[\s\S]*?\*\/\n?|^[ \t]*\/\/.*\n?/gm, "");

/** @type {Map<string, { own: Map<string, string[]>, reexports: { names: [string, string][] | "*" | { as: string }, from: string }[] }>} */
const modules = new Map();

/** Top-level statements of a declaration file. */
function statements(text) {
  const found = [];
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    if (/^(?:export|import|declare|interface|type|class|abstract|enum|#!)/.test(line)) found.push(line);
    else found[found.length - 1] += `\n${line}`;
  }
  return found;
}

function resolve(from, specifier) {
  return normalize(join(dirname(from), specifier)).replace(/\.js$/, ".d.ts");
}

function parse(path) {
  const known = modules.get(path);
  if (known !== undefined) return known;
  const module = { own: new Map(), reexports: [] };
  modules.set(path, module);
  for (const statement of statements(withoutComments(readFileSync(join(root, path), "utf8")))) {
    const declared =
      /^export (?:declare )?(?:abstract )?(?:async )?(?:const enum|function\*?|class|interface|type|const|let|enum|namespace) (\w+)/.exec(
        statement,
      );
    if (declared !== null) {
      const [, name] = declared;
      module.own.set(name, [...(module.own.get(name) ?? []), statement.replace(/^export (?:declare )?/, "")]);
      continue;
    }
    const star = /^export (?:type )?\* (?:as (\w+) )?from "([^"]+)";/.exec(statement);
    if (star !== null) {
      module.reexports.push({ names: star[1] === undefined ? "*" : { as: star[1] }, from: star[2] });
      continue;
    }
    const named = /^export (?:type )?\{([^}]*)\}(?: from "([^"]+)")?;/.exec(statement);
    if (named !== null) {
      const names = named[1]
        .split(",")
        .map((one) => one.trim().replace(/^type /, ""))
        .filter((one) => one !== "")
        .map((one) => {
          const [name, as = name] = one.split(" as ");
          return [as, name];
        });
      if (names.length > 0) module.reexports.push({ names, from: named[2] });
      continue;
    }
    if (statement.startsWith("export")) throw new Error(`${path}: not understood: ${statement}`);
  }
  return module;
}

/** What a module exports: declarations by name. A package's re-exported name counts as its own declaration. */
function exportsOf(path) {
  const { own, reexports } = parse(path);
  const found = new Map(own);
  for (const { names, from } of reexports) {
    if (from === undefined || !from.startsWith(".")) {
      for (const [as, name] of names) found.set(as, [`${name} from "${from ?? path}";`]);
      continue;
    }
    const target = resolve(path, from);
    const there = exportsOf(target);
    if (names === "*") for (const [name, text] of there) found.set(name, text);
    else if (!Array.isArray(names)) {
      for (const [name, text] of there) found.set(`${names.as}.${name}`, text);
    } else {
      for (const [as, name] of names) {
        const text = there.get(name);
        if (text === undefined) throw new Error(`${path}: ${from} has no ${name}`);
        found.set(as, as === name ? text : [`${name} as ${as}`, ...text]);
      }
    }
  }
  return found;
}

/** Columns of a drizzle table take eighteen lines each; what tells them apart is their type and whether they may be null. */
function shortColumns(text) {
  return text.replaceAll(
    /import\("drizzle-orm\/pg-core"\)\.PgColumn<\{[\s\S]*?\n {8}\}, \{\}, \{\}>;/g,
    (column) => {
      const of = (key) => new RegExp(`^ {12}${key}: (.*);$`, "m").exec(column)?.[1].replaceAll('"', "");
      const marks = [
        of("notNull") === "true" ? [] : "null",
        of("hasDefault") === "true" ? "default" : [],
      ].flat();
      return [of("columnType"), of("name"), ...marks].join(" ");
    },
  );
}

function report(specifier, path) {
  const declarations = [...exportsOf(path)].sort(([a], [b]) => (a < b ? -1 : Number(a > b)));
  const lines = [`# ${specifier}`, "", "Made by `npm run api-report`; do not edit.", "", "```ts"];
  for (const [name, texts] of declarations) {
    const scope = name.includes(".") ? `// ${name}\n` : "";
    lines.push(`${scope}${texts.map(shortColumns).join("\n")}`, "");
  }
  lines.splice(-1, 1, "```", "");
  return lines.join("\n").replaceAll(/^ +#private;\n/gm, "");
}

const { name: packageName, exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const fresh = new Map(
  Object.entries(exports).map(([entrance, { types }]) => [
    `${entrance === "." ? "root" : entrance.slice(2).replace("/", "-")}.api.md`,
    report(entrance.replace(".", packageName), normalize(types)),
  ]),
);
const present = existsSync(folder) ? readdirSync(folder) : [];
if (process.argv.includes("--check")) {
  const text = (file) => (present.includes(file) ? readFileSync(join(folder, file), "utf8") : undefined);
  const stale = [...new Set([...fresh.keys(), ...present])].filter((file) => fresh.get(file) !== text(file));
  if (stale.length > 0) {
    process.stderr.write(
      `out of date in docs/api-report: ${stale.join(", ")}; run npm run api-report and look at the difference\n`,
    );
    process.exit(1);
  }
} else {
  mkdirSync(folder, { recursive: true });
  for (const file of present) if (!fresh.has(file)) rmSync(join(folder, file));
  for (const [file, text] of fresh) writeFileSync(join(folder, file), text);
}
