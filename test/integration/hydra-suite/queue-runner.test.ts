// Counterparts of the tests of Hydra's suite that run a queue runner: the same jobs in small, the same assertions.
import { createHash } from "node:crypto";
import { access, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { useHydraSuite, useSharedProcesses } from "../../support/hydra-suite.js";
import { shellDerivation } from "../../support/nix.js";
import { until } from "../../support/until.js";

const suite = useHydraSuite();
const busybox = "/bin/busybox";

const empty = (name: string): string => shellDerivation(name, `${busybox} mkdir $out`);

async function builds(ids: readonly number[]): Promise<Readonly<Record<string, unknown>>[]> {
  return [...(await suite().tables.rows(ids)).Builds];
}

async function outputOf(build: number, name = "out"): Promise<string> {
  const rows = (await suite().tables.rows([build])).BuildOutputs;
  return String(rows.find((row) => row.name === name)?.path);
}

function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

test("evaluate-basic and already-finished-build: statuses of the basic jobs; a finished build may be asked for again", async () => {
  const ids = await suite().evaluate(
    empty("empty-dir"),
    shellDerivation("fails", "exit 1"),
    shellDerivation(
      "succeed-with-failed",
      `${busybox} mkdir -p $out/nix-support; : > $out/nix-support/failed`,
    ),
  );
  await suite().runBuilds(ids);
  expect(await builds(ids)).toMatchObject([
    { finished: 1, buildstatus: 0 },
    { finished: 1, buildstatus: 1 },
    { finished: 1, buildstatus: 6 },
  ]);
  const before = await suite().tables.rows(ids);
  await suite().runBuilds(ids.slice(0, 1));
  expect(await suite().tables.rows(ids)).toEqual(before);
});

test("build-locally-with-substitutable-path: an output that vanished from the central store is had again", async () => {
  const underlying = shellDerivation("underlying", "echo below > $out");
  const [first = 0] = await suite().evaluate(underlying);
  await suite().runBuilds([first]);
  await suite().deleteCentral(await outputOf(first));
  const [second = 0] = await suite().evaluate(
    `let input = ${underlying}; in ${shellDerivation("dependent", `${busybox} cat $input > $out`, "inherit input;")}`,
  );
  await suite().runBuilds([second]);
  expect(await builds([second])).toMatchObject([{ finished: 1, buildstatus: 0 }]);
});

test("fixed-output-derivation: without destination store, the second time it is cached", async () => {
  const hash = createHash("sha256").update("fixed\n").digest("hex");
  const fixed = shellDerivation(
    "fixed",
    "echo fixed > $out",
    `outputHashMode = "flat"; outputHashAlgo = "sha256"; outputHash = "${hash}";`,
  );
  const other = await suite().tables.addJobset("fixed-again");
  const [first = 0] = await suite().evaluate(fixed);
  await suite().runBuilds([first], { destinationStore: false });
  const [second = 0] = await suite().evaluate(fixed);
  await suite().tables.client.query("update builds set jobset_id = $1 where id = $2", [other, second]);
  await suite().runBuilds([second], { destinationStore: false });
  expect(await builds([first, second])).toMatchObject([
    { finished: 1, buildstatus: 0, iscachedbuild: 0 },
    { finished: 1, buildstatus: 0, iscachedbuild: 1 },
  ]);
  expect(await outputOf(second)).toBe(await outputOf(first));
});

test("gc-during-build: collecting the builder's garbage leaves the inputs of a running build alone", async () => {
  const [paused, go] = [join(suite().folder, "paused"), join(suite().folder, "go")];
  const input = shellDerivation("gc-input", "echo input > $out");
  const [build = 0] = await suite().evaluate(
    `let input = ${input}; in ${shellDerivation(
      "gc-slow",
      `: > ${paused}; while ! [ -e ${go} ]; do ${busybox} sleep 0.05; done; ${busybox} cat $input > $out`,
      "inherit input;",
    )}`,
  );
  const [inputDrv = ""] = await suite().central.instantiate(input);
  const inputPath = (await suite().central.run("nix-store", ["-q", "--outputs", inputDrv])).trim();
  await suite().runBuilds([build], {
    destinationStore: false,
    meanwhile: async () => {
      await until("the slow build to run", () => exists(paused));
      await suite().remote.run("nix-store", ["--gc"]);
      await suite().remote.run("nix-store", ["--check-validity", inputPath]);
      await writeFile(go, "");
    },
  });
  expect(await builds([build])).toMatchObject([{ finished: 1, buildstatus: 0 }]);
});

test("logging: plain logs of a success and a failure are complete when the build is finished", async () => {
  const ids = await suite().evaluate(
    shellDerivation("log-success", `echo should appear in success; ${busybox} mkdir $out`),
    shellDerivation("log-failure", "echo should appear in failure; exit 1"),
  );
  await suite().runBuilds(ids);
  const rows = await builds(ids);
  expect(rows).toMatchObject([{ buildstatus: 0 }, { buildstatus: 1 }]);
  expect(await suite().log(String(rows[0]?.drvpath))).toContain("should appear in success");
  expect(await suite().log(String(rows[1]?.drvpath))).toContain("should appear in failure");
});

test("notifications: a substituted build is finished before the next one starts, and only that one has a step", async () => {
  const expressions = [
    shellDerivation("canbesubstituted", `echo substituted; ${busybox} mkdir $out`),
    shellDerivation("unsubstitutable", `echo built; ${busybox} mkdir $out`),
  ];
  const ids = await suite().evaluate(...expressions);
  const [substituted = 0, built = 0] = ids;
  const [drv = ""] = await suite().central.instantiate(expressions[0] ?? "");
  const path = (await suite().central.run("nix-store", ["--realise", drv])).trim();
  const cache = `file://${join(suite().folder, "substituter")}`;
  await suite().central.run("nix", ["copy", "--to", cache, path]);
  await suite().deleteCentral(path);
  await suite().runBuilds(ids, { useSubstitutes: true });
  await suite().notifications.settle();
  const heard = suite()
    .notifications.of(ids)
    .filter(({ channel }) => channel !== "step_started");
  expect(heard).toEqual([
    { channel: "build_finished", payload: String(substituted) },
    { channel: "build_started", payload: String(built) },
    { channel: "step_finished", payload: expect.stringMatching(new RegExp(`^${built}\t1\t/[^\t]+$`)) },
    { channel: "build_finished", payload: String(built) },
  ]);
  const rows = await builds(ids);
  for (const row of rows) expect(row).toMatchObject({ finished: 1, buildstatus: 0 });
  for (const row of rows) expect(row.notificationpendingsince).not.toBeNull();
});

test("evaluate-dependent-jobsets and eval-jobset/notifications: outputs are valid centrally; the runner says nothing on others' channels", async () => {
  const [first = 0] = await suite().evaluate(shellDerivation("build1", "echo one > $out"));
  await suite().notifications.settle();
  const from = suite().notifications.all.length;
  await suite().runBuilds([first]);
  await suite().notifications.settle();
  const ours = /^(build|step)_(started|finished)$/;
  expect(
    suite()
      .notifications.all.slice(from)
      .filter(({ channel, payload }) => !ours.test(channel) && !payload.startsWith("mark-")),
  ).toEqual([]);
  const path = await outputOf(first);
  await suite().central.run("nix-store", ["--check-validity", path]);
  const [second = 0] = await suite().evaluate(
    shellDerivation("build2", `${busybox} cat $input > $out`, `input = builtins.storePath "${path}";`),
  );
  await suite().runBuilds([second]);
  expect(await builds([first, second])).toMatchObject([
    { finished: 1, buildstatus: 0 },
    { finished: 1, buildstatus: 0 },
  ]);
});

test("Build/restart: a failed build runs again, under the next step number", async () => {
  const flag = join(suite().folder, "flag");
  const [build = 0] = await suite().evaluate(
    shellDerivation("restarted", `[ -e ${flag} ] || exit 1; ${busybox} mkdir $out`),
  );
  await suite().runBuilds([build]);
  expect(await builds([build])).toMatchObject([{ finished: 1, buildstatus: 1 }]);
  await writeFile(flag, "");
  await suite().tables.restart(build);
  expect(await builds([build])).toMatchObject([{ finished: 0 }]);
  await suite().runBuilds([build]);
  const rows = await suite().tables.rows([build]);
  expect(rows.Builds).toMatchObject([{ finished: 1, buildstatus: 0, iscachedbuild: 0 }]);
  expect(rows.BuildSteps).toMatchObject([
    { stepnr: 1, status: 1 },
    { stepnr: 2, status: 0 },
  ]);
});

describe("on processes that others have used", () => {
  const runBuilds = useSharedProcesses(suite);

  test("started by the harness: builds exactly what it is told to", async () => {
    const [first = 0, second = 0, third = 0] = await suite().evaluate(
      ...["one", "two", "three"].map((name) => shellDerivation(name, `echo ${name} > $out`)),
    );
    await runBuilds([first, second]);
    expect(
      (await builds([first, second, third])).map(({ finished, buildstatus }) => [finished, buildstatus]),
    ).toEqual([
      [1, 0],
      [1, 0],
      [0, null],
    ]);
  });

  test("default-machine-file: the builder has the system features of its nix.conf", async () => {
    const ids = await suite().evaluate(
      shellDerivation(
        "featured",
        `${busybox} mkdir $out`,
        'requiredSystemFeatures = [ "test-system-feature" ];',
      ),
    );
    await runBuilds(ids);
    expect(await builds(ids)).toMatchObject([{ finished: 1, buildstatus: 0 }]);
  });

  describe("content-addressed", () => {
    const ca = '__contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256";';
    const base = `rec {
      empty = ${shellDerivation("ca-empty-dir", `${busybox} mkdir $out`, ca)};
      fails = ${shellDerivation("ca-fails", "exit 1", ca)};
      withFailed = ${shellDerivation("ca-succeed_with_failed", `${busybox} mkdir -p $out/nix-support; : > $out/nix-support/failed`, ca)};
      onCa = ${shellDerivation("ca-on-ca", "echo $x > $out", `${ca} x = empty;`)};
      onCaOnCa = ${shellDerivation("ca-on-ca-on-ca", "echo $x > $out", `${ca} x = onCa;`)};
      onFailing = ${shellDerivation("caDependingOnFailingCA", "echo $x > $out", `${ca} x = fails;`)};
      inputAddressed = ${shellDerivation("input-on-ca", "echo $x > $out", "x = empty;")};
      several = ${shellDerivation("ca-several", "echo o > $out; echo d > $dev", `${ca} outputs = [ "out" "dev" ];`)};
      self = ${shellDerivation("ca-self", "echo $out > $out", ca)};
      selves = ${shellDerivation("ca-selves", "echo $out $dev > $out; echo $dev > $dev", `${ca} outputs = [ "out" "dev" ];`)};
    }`;
    const jobs = [
      ["empty", 0],
      ["fails", 1],
      ["withFailed", 6],
      ["onCa", 0],
      ["onCaOnCa", 0],
      ["onFailing", 2],
      ["inputAddressed", 0],
      ["several", 0],
      ["self", 0],
      ["selves", 0],
    ] as const;

    test("basic: ten jobs with their statuses, outputs filled in", async () => {
      const ids = await suite().evaluate(...jobs.map(([job]) => `(${base}).${job}`));
      await runBuilds(ids);
      const rows = await suite().tables.rows(ids);
      expect(rows.Builds.map((one) => [one.job, one.finished, one.buildstatus])).toEqual(
        jobs.map(([, status], index) => [rows.Builds[index]?.job, 1, status]),
      );
      const good = new Set(rows.Builds.filter((one) => one.buildstatus === 0).map((one) => one.id));
      for (const output of rows.BuildOutputs) {
        if (good.has(output.build ?? 0)) expect(output.path).toMatch(/\/nix\/store\/./);
      }
    });

    test("early-cutoff: two upstreams of one content, and downstreams that are one step", async () => {
      const pair = (n: number): string => `rec {
        up = ${shellDerivation("upstream", "echo same > $out", `${ca} n = "${n}";`)};
        down = ${shellDerivation("downstream", "echo $up > $out", `${ca} inherit up;`)};
      }`;
      const ids = await suite().evaluate(
        `(${pair(1)}).up`,
        `(${pair(2)}).up`,
        `(${pair(1)}).down`,
        `(${pair(2)}).down`,
      );
      await runBuilds(ids);
      const rows = await suite().tables.rows(ids);
      for (const row of rows.Builds) expect(row).toMatchObject({ finished: 1, buildstatus: 0 });
      const paths = await Promise.all(ids.map((id) => outputOf(id)));
      expect(paths[0]).toBe(paths[1]);
      expect(paths[2]).toBe(paths[3]);
      const own = ids.slice(2).map((id) => {
        const drv = rows.Builds.find((row) => row.id === id)?.drvpath;
        return rows.BuildSteps.filter((step) => step.build === id && step.drvpath === drv);
      });
      expect(own.map((steps) => steps.length)).toEqual([1, 1]);
      const resolved = own.map((steps) => String(steps[0]?.resolveddrvpath));
      expect(resolved[0]?.length).toBeGreaterThan(32);
      expect(resolved[0]).toBe(resolved[1]);
    });
  });

  test("build-products and RunCommand/json: products, metrics, two outputs", async () => {
    const ids = await suite().evaluate(
      shellDerivation(
        "simple",
        `${busybox} mkdir -p $out/nix-support; echo text > $out/text.txt; echo file txt $out/text.txt > $out/nix-support/hydra-build-products`,
      ),
      shellDerivation(
        "with_spaces",
        `${busybox} mkdir -p $out/nix-support; echo text > "$out/some text.txt"; echo "file txt \\"$out/some text.txt\\"" > $out/nix-support/hydra-build-products`,
      ),
      shellDerivation(
        "my-build-product",
        `${busybox} mkdir -p $out/nix-support $bin; printf 'lineCoverage 18 %%\\nmaxResident 27 KiB\\n' > $out/nix-support/hydra-metrics`,
        'outputs = [ "out" "bin" ];',
      ),
    );
    const [simple = 0, spaces = 0, json = 0] = ids;
    await runBuilds(ids);
    const rows = await suite().tables.rows(ids);
    for (const row of rows.Builds) expect(row).toMatchObject({ finished: 1, buildstatus: 0 });
    const products = (id: number): unknown[] => rows.BuildProducts.filter((row) => row.build === id);
    expect(products(simple)).toMatchObject([{ name: "text.txt", type: "file", subtype: "txt", filesize: 5 }]);
    expect(products(spaces)).toMatchObject([{ name: "some text.txt" }]);
    const none = { type: "nix-build", defaultpath: "", filesize: null, sha256hash: null };
    const jsonProducts = products(json);
    expect(jsonProducts).toHaveLength(2);
    expect(jsonProducts).toContainEqual(
      expect.objectContaining({ ...none, name: "my-build-product", subtype: "" }),
    );
    expect(jsonProducts).toContainEqual(
      expect.objectContaining({ ...none, name: "my-build-product-bin", subtype: "bin" }),
    );
    expect(rows.BuildMetrics.filter((row) => row.build === json)).toMatchObject([
      { name: "lineCoverage", value: 18, unit: "%" },
      { name: "maxResident", value: 27, unit: "KiB" },
    ]);
    expect(rows.BuildOutputs.filter((row) => row.build === json).map((row) => row.name)).toEqual([
      "bin",
      "out",
    ]);
  });

  test("Build/api and Job/builds: an aggregate of two, closure and output size of an empty directory", async () => {
    const ids = await suite().evaluate(
      empty("size-dir"),
      `let a = ${empty("part-a")}; b = ${empty("part-b")}; in ${shellDerivation("aggregate", `${busybox} mkdir $out`, "_hydraAggregate = true; constituents = [ a b ];")}`,
    );
    const [directory = 0, aggregate = 0] = ids;
    await runBuilds(ids);
    const rows = await suite().tables.rows(ids);
    expect(rows.Builds.find((row) => row.id === directory)).toMatchObject({
      buildstatus: 0,
      closuresize: 96,
      size: 96,
    });
    expect(rows.Builds.find((row) => row.id === aggregate)).toMatchObject({
      buildstatus: 0,
      releasename: null,
      priority: 100,
    });
    expect(rows.BuildProducts.filter((row) => row.build === aggregate)).toMatchObject([
      {
        productnr: 1,
        type: "nix-build",
        subtype: "",
        name: "aggregate",
        defaultpath: "",
        filesize: null,
        sha256hash: null,
        path: await outputOf(aggregate),
      },
    ]);
    expect(rows.BuildMetrics).toEqual([]);
  });

  test("Build/download: the destination store has the output when the build is finished", async () => {
    const [build = 0] = await suite().evaluate(
      shellDerivation(
        "docs",
        `${busybox} mkdir -p $out/nix-support; echo Hello > $out/index.html; echo doc manual $out > $out/nix-support/hydra-build-products`,
      ),
    );
    await runBuilds([build]);
    const hello = await suite().central.run("nix", [
      "store",
      "cat",
      "--store",
      `file://${suite().destination}`,
      `${await outputOf(build)}/index.html`,
    ]);
    expect(hello).toBe("Hello\n");
  });
});
