/**
 * The direction of imports that docs/architecture.md describes, and the purity of the scheduler. A failing line here
 * is a design question, not a formality: either the import or the document is wrong.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Rooms from the bottom up; a room imports from floors below its own only. */
const floors: readonly (readonly string[])[] = [
  ["async"],
  ["compression", "process"],
  ["nix", "scheduler"],
  ["binary-cache", "config", "database", "rpc"],
  ["nix-support", "status"],
  ["builder", "runner"],
  ["testing", "tracing"],
];
/** Files beside the rooms that anyone may use, and which use nobody. */
const leaves = [
  "lib/argument-checks.ts",
  "lib/brand.ts",
  "lib/errors.ts",
  "lib/in-folder.ts",
  "lib/line-file.ts",
  "lib/log-fold.ts",
  "lib/log-levels.ts",
  "lib/log.ts",
  "lib/version.ts",
];

/** A program of its own that runs in the browser; it has its own rules below. */
const pageApp = "lib/status/page/app/";

interface Import {
  readonly from: string;
  /** A project file, or the name of a package. */
  readonly to: string;
  readonly typeOnly: boolean;
}

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((path) => !path.startsWith("lib/rpc/gen/") && !path.startsWith(pageApp));
}

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
}

function importsOf(path: string): Import[] {
  const text = withoutComments(readFileSync(join(root, path), "utf8"));
  const statements = text.matchAll(
    /\b(?:import|export)\b(\s+type\b)?(?:[^;"'()]*?\bfrom)?\s*["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']/g,
  );
  return [...statements].map(([, type, named, dynamic]) => {
    const target = named ?? dynamic ?? "";
    const to = target.startsWith(".")
      ? normalize(join(dirname(path), target)).replace(/\.js$/, ".ts")
      : target;
    return { from: path, to, typeOnly: type !== undefined };
  });
}

/** The folder below `lib` that a file lives in; undefined for the files beside the rooms. */
function roomOf(path: string): string | undefined {
  return /^lib\/([^/]+)\//.exec(path)?.[1];
}
const floorOf = (room: string): number => floors.findIndex((floor) => floor.includes(room));

const files = sources("lib");
const imports = files.flatMap(importsOf);
const show = (one: Import): string => `${one.from} → ${one.to}`;

describe("imports", () => {
  it("are found at all, and lead to files that exist", () => {
    expect(imports.length).toBeGreaterThan(files.length);
    const known = new Set([...files, ...imports.map((one) => one.from)]);
    const broken = imports.filter(
      ({ to }) => to.startsWith("lib/") && !to.startsWith("lib/rpc/gen/") && !known.has(to),
    );
    expect(broken.map(show)).toEqual([]);
  });

  it("know every room", () => {
    const rooms = new Set(files.flatMap((path) => roomOf(path) ?? []));
    expect([...rooms].filter((room) => floorOf(room) < 0)).toEqual([]);
  });

  it("go down only", () => {
    const upwards = imports.filter(({ from, to }) => {
      const [here, there] = [roomOf(from), roomOf(to)];
      return here !== undefined && there !== undefined && here !== there && floorOf(there) >= floorOf(here);
    });
    expect(upwards.map(show)).toEqual([]);
  });

  it("leave the library only into packages and Node", () => {
    const outside = imports.filter(
      ({ to }) =>
        /^(\.|bin\/|examples\/|test\/|bench\/)/.test(to) || (to.includes("/") && to.startsWith("/")),
    );
    expect(outside.map(show)).toEqual([]);
  });

  it("of the files beside the rooms go nowhere", () => {
    const entry = "lib/index.ts";
    const beside = files.filter((path) => roomOf(path) === undefined && path !== entry);
    expect(beside.sort()).toEqual(leaves);
    const wrong = imports.filter(
      ({ from, to }) => leaves.includes(from) && to.startsWith("lib/") && !leaves.includes(to),
    );
    expect(wrong.map(show)).toEqual([]);
    expect(imports.filter(({ to }) => to === entry).map(show)).toEqual([]);
  });

  it("make no circle when the program runs", () => {
    const graph = new Map<string, string[]>();
    for (const { from, to, typeOnly } of imports) {
      if (!typeOnly && to.startsWith("lib/")) graph.set(from, [...(graph.get(from) ?? []), to]);
    }
    const done = new Set<string>();
    const circles: string[] = [];
    const visit = (path: string, trail: readonly string[]): void => {
      const seen = trail.indexOf(path);
      if (seen >= 0) circles.push([...trail.slice(seen), path].join(" → "));
      if (seen >= 0 || done.has(path)) return;
      for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
      done.add(path);
    };
    for (const path of graph.keys()) visit(path, []);
    expect(circles).toEqual([]);
  });
});

interface InnerRooms {
  /** From the bottom up; a file imports from its own inner room and from floors below it only. */
  readonly floors: readonly (readonly string[])[];
  /** Files beside the inner rooms that put them together. No inner room imports them. */
  readonly tops: readonly string[];
  /** Whether imports of types keep to the floors, too. */
  readonly types: "in order" | "free";
}

/** Folders whose inner rooms have an order. That of the runner is the order of a build's life. */
const innerRooms: Readonly<Record<string, InnerRooms>> = {
  "lib/runner": {
    floors: [["events"], ["state"], ["recording", "outputs"], ["ingestion"], ["attempt"], ["service"]],
    tops: ["index", "queue-runner", "life", "opening", "listening", "ownership", "assembly", "context"],
    types: "in order",
  },
  "lib/runner/outputs": {
    floors: [
      ["logs", "arriving"],
      ["presigned", "uploads"],
    ],
    tops: ["publisher"],
    types: "in order",
  },
  // A step names its machine, and a machine its steps.
  "lib/scheduler": {
    floors: [["queue"], ["steps"], ["machines"], ["views"]],
    tops: ["index", "scheduler"],
    types: "free",
  },
};

describe.each(Object.entries(innerRooms))("inner rooms of %s", (folder, { floors: order, tops, types }) => {
  /** The folder below `folder` that a file lives in; undefined for files beside the inner rooms and elsewhere. */
  const innerRoomOf = (path: string): string | undefined =>
    path.startsWith(`${folder}/`) ? /^([^/]+)\//.exec(path.slice(folder.length + 1))?.[1] : undefined;
  const innerFloorOf = (path: string): number =>
    order.findIndex((floor) => floor.includes(innerRoomOf(path) ?? ""));

  it("are all known", () => {
    const inner = files.filter((path) => innerRoomOf(path) !== undefined);
    expect(new Set(inner.map(innerRoomOf))).toEqual(new Set(order.flat()));
    expect(tops.filter((top) => !files.includes(`${folder}/${top}.ts`))).toEqual([]);
  });

  it("import from earlier ones only", () => {
    const wrong = imports.filter(({ from, to, typeOnly }) => {
      if (innerRoomOf(from) === undefined || innerRoomOf(from) === innerRoomOf(to)) return false;
      if (!to.startsWith(`${folder}/`)) return false;
      if (innerRoomOf(to) === undefined) return tops.some((top) => to === `${folder}/${top}.ts`);
      if (typeOnly && types === "free") return false;
      return innerFloorOf(to) >= innerFloorOf(from);
    });
    expect(wrong.map(show)).toEqual([]);
  });
});

describe("folders", () => {
  /** More files than one takes in at a glance are rooms not yet named. */
  const most = 20;

  it("hold at most 20 files of their own", () => {
    const sizes = new Map<string, number>();
    for (const entry of readdirSync(join(root, "lib"), { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) sizes.set(entry.parentPath, (sizes.get(entry.parentPath) ?? 0) + 1);
    }
    const large = [...sizes].filter(([, count]) => count > most);
    expect(large.map(([folder, count]) => `${relative(root, folder)}: ${count}`)).toEqual([]);
  });
});

describe("packages", () => {
  /** Each is the business of one room, which hides it from the others. */
  const owners: Readonly<Record<string, string>> = {
    "@aws-sdk/client-s3": "binary-cache",
    "@aws-sdk/s3-request-presigner": "binary-cache",
    "@bufbuild/protobuf": "rpc",
    "@connectrpc/connect": "rpc",
    "@connectrpc/connect-node": "rpc",
    "@toondepauw/node-zstd": "compression",
    "drizzle-orm": "database",
    pg: "database",
    "prom-client": "status",
    "smol-toml": "config",
  };
  const packageOf = (name: string): string =>
    name
      .split("/")
      .slice(0, name.startsWith("@") ? 2 : 1)
      .join("/");

  it("are imported by one room each", () => {
    const foreign = imports.filter(({ to }) => /^[@\w]/.test(to) && !/^(?:lib\/|node:)/.test(to));
    const used = new Set(foreign.map(({ from, to }) => `${packageOf(to)} by ${roomOf(from)}`));
    expect([...used].sort()).toEqual(
      Object.entries(owners)
        .map(([name, room]) => `${name} by ${room}`)
        .sort(),
    );
  });
});

describe("the scheduler", () => {
  const heart = files.filter((path) => roomOf(path) === "scheduler");

  it("does no input or output and has no dependencies", () => {
    const wrong = heart
      .flatMap(importsOf)
      .filter(({ to }) => !to.startsWith("lib/scheduler/") && !leaves.includes(to));
    expect(wrong.map(show)).toEqual([]);
  });

  it("takes time and chance as arguments", () => {
    const forbidden =
      /\bDate\b|\bMath\.random\b|\bperformance\b|\bset(?:Timeout|Interval|Immediate)\b|\bprocess\b|\bconsole\b|\bcrypto\b/;
    const wrong = heart.filter((path) => {
      const code = withoutComments(readFileSync(join(root, path), "utf8")).replaceAll(
        /"[^"\n]*"|`[^`]*`/g,
        '""',
      );
      return forbidden.test(code);
    });
    expect(wrong).toEqual([]);
  });
});

describe("the runner", () => {
  it("changes the scheduler through the running one only", () => {
    const owner = "lib/runner/state/running-scheduler.ts";
    const others = files.filter((path) => roomOf(path) === "runner" && path !== owner);
    const wrong = others.filter((path) =>
      /\bSchedulerApi\b|\bScheduler\b/.test(withoutComments(readFileSync(join(root, path), "utf8"))),
    );
    expect(wrong).toEqual([]);
  });
});

describe("the live page's application", () => {
  const app = readdirSync(join(root, pageApp), { recursive: true, encoding: "utf8" })
    .filter((name) => /\.tsx?$/.test(name))
    .map((name) => pageApp + name);

  it("imports nothing of the library at run time, and no package but its renderer", () => {
    expect(app.length).toBeGreaterThan(5);
    const wrong = app
      .flatMap(importsOf)
      .filter(({ to }) => !to.startsWith(pageApp) && !/^preact(?:\/hooks)?$/.test(to))
      .filter(({ to, typeOnly }) => !(typeOnly && to === "lib/status/api/types.ts"));
    expect(wrong.map(show)).toEqual([]);
  });

  it("is imported by nothing", () => {
    expect(imports.filter(({ to }) => to.startsWith(pageApp)).map(show)).toEqual([]);
  });

  it("never makes markup of text", () => {
    const wrong = app.filter((path) =>
      /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function/.test(
        withoutComments(readFileSync(join(root, path), "utf8")),
      ),
    );
    expect(wrong).toEqual([]);
  });
});

describe("waiting", () => {
  /** Files outside lib/async that set timers, and what for. None of them retries anything. */
  const timers: Readonly<Record<string, string>> = {
    "lib/builder/build/log.ts": "deadline for the rest of a log",
    "lib/builder/build/step-updates.ts": "a phase is reported only once it has lasted",
    "lib/builder/connection/tunnel-session.ts": "pings, and a deadline that each order renews",
    "lib/builder/resources/build-meter.ts": "the next look at the processes of builds",
    "lib/log-fold.ts": "how often a line came is said even when no other follows",
    "lib/nix/daemon/connection.ts": "timeout on the daemon's greeting",
    "lib/nix/daemon/pool.ts": "idle connections are closed",
    "lib/nix/daemon/sessions.ts": "idle connections are closed",
    "lib/nix/daemon/transport.ts": "a daemon of ours that does not stop is killed",
    "lib/process/run-program.ts": "a process that does not exit is ended",
    "lib/process/small-heap.ts": "whether the program works or rests",
    "lib/process/systemd-notify.ts": "watchdog messages, and the rest between two about what is done",
    "lib/rpc/client/call-scope.ts": "timeout on a call",
    "lib/rpc/client/connection.ts": "timeout on connecting, and keepalive pings",
    "lib/rpc/server/serve-call.ts":
      "deadline of a call, a message that stops arriving, and a failed call that does not close",
    "lib/rpc/server/connections.ts": "keepalive pings, connections without a call, and the grace of a close",
    "lib/rpc/server/server-tunnel.ts": "a tunnel that does not close is reset",
    "lib/runner/attempt/builder-sessions.ts": "pings, and the end of a grace",
    "lib/runner/attempt/dispatcher.ts": "the scheduler's next event",
    "lib/runner/attempt/results.ts": "answers are forgotten",
    "lib/runner/service/transfer-places.ts": "transfers that stand still are looked for while others wait",
    "lib/status/http/status-server.ts": "connections that do not close are cut",
  };

  it("is the business of lib/async; other timers are known by name", () => {
    const found = files.filter(
      (path) =>
        roomOf(path) !== "async" &&
        /\bset(?:Timeout|Interval)\(|\btimers\/promises\b/.test(
          withoutComments(readFileSync(join(root, path), "utf8")),
        ),
    );
    expect(found.sort()).toEqual(Object.keys(timers).sort());
  });
});

describe("every room", () => {
  it("has an entrance that says what may live there", () => {
    const rooms = [...new Set(files.flatMap((path) => roomOf(path) ?? []))];
    const without = rooms.filter((room) => {
      const entrance = files.find((path) => path === `lib/${room}/index.ts`);
      return entrance === undefined || !readFileSync(join(root, entrance), "utf8").startsWith("/**\n");
    });
    expect(without).toEqual([]);
  });

  it("says in its entrance what each export is for", () => {
    const rooms = [...new Set(files.flatMap((path) => roomOf(path) ?? []))];
    const bare = rooms.flatMap((room) => {
      const lines = readFileSync(join(root, `lib/${room}/index.ts`), "utf8").split("\n");
      return lines.filter(
        (line, index) => line.startsWith("export ") && !/^\/\*\* .+ \*\/$/.test(lines[index - 1] ?? ""),
      );
    });
    expect(bare).toEqual([]);
  });

  it("is in the table of docs/architecture.md", () => {
    const document = readFileSync(join(root, "docs/architecture.md"), "utf8");
    const rooms = [...new Set(files.flatMap((path) => roomOf(path) ?? []))];
    expect(rooms.filter((room) => !document.includes(`\`lib/${room}/\``))).toEqual([]);
  });
});
