// Points 1 to 6 of the acceptance list for the database, with the programs as Hydra's own test-suite runs them.
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { useHydraSuite } from "../../support/hydra-suite.js";
import { shellDerivation } from "../../support/nix.js";
import { until } from "../../support/until.js";
import { shapes } from "./shapes.js";

const suite = useHydraSuite();
const busybox = "/bin/busybox";

test("points 1 and 2: a fresh build has one step and three notifications, a substitutable one has one", async () => {
  const expressions = [
    shellDerivation("from-cache", `echo cached; ${busybox} mkdir $out`),
    shellDerivation("fresh", `echo built; ${busybox} mkdir $out`),
  ];
  const ids = await suite().evaluate(...expressions);
  const [drv = ""] = await suite().central.instantiate(expressions[0] ?? "");
  const path = (await suite().central.run("nix-store", ["--realise", drv])).trim();
  await suite().central.run("nix", ["copy", "--to", `file://${suite().folder}/substituter`, path]);
  await suite().deleteCentral(path);
  await suite().runBuilds(ids, { useSubstitutes: true });
  expect(await shapes(suite(), ids)).toEqual({
    builds: ["0 cached", "0"],
    steps: ["0.1 from-cache found 0", "1.1 fresh build 0"],
    heard: [
      "build_finished 0",
      "step_started 1.1",
      "build_started 1",
      "step_finished 1.1 log",
      "build_finished 1",
    ],
  });
  const rows = await suite().tables.rows(ids);
  expect(rows.BuildStepOutputs.map((row) => [row.name, row.path])).toEqual([
    ["out", path],
    ["out", rows.BuildOutputs[1]?.path],
  ]);
  expect(rows.BuildSteps[0]).toMatchObject({ system: null, machine: "", errormsg: null, overhead: null });
});

test("point 3: a known fixed-output build is cached, without a step of its own", async () => {
  const hash = createHash("sha256").update("known\n").digest("hex");
  const known = shellDerivation(
    "known",
    "echo known > $out",
    `outputHashMode = "flat"; outputHashAlgo = "sha256"; outputHash = "${hash}";`,
  );
  const ids = await suite().evaluate(known);
  await suite().runBuilds(ids);
  ids.push(...(await suite().evaluate(known)));
  await suite().runBuilds(ids.slice(1));
  expect(await shapes(suite(), ids)).toEqual({
    builds: ["0", "0 cached"],
    steps: ["0.1 known build 0"],
    heard: [
      "step_started 0.1",
      "build_started 0",
      "step_finished 0.1 log",
      "build_finished 0",
      "build_finished 1",
    ],
  });
});

test("point 4: two content-addressed builds that resolve alike have one row of status 13 each", async () => {
  const ca = '__contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256";';
  const down = (n: number): string => `let
      up = ${shellDerivation("ca-up", "echo same > $out", `${ca} n = "${n}";`)};
    in ${shellDerivation("ca-down", `${busybox} sleep 3; echo $up > $out`, `${ca} inherit up;`)}`;
  // It takes so long that the second build asks for it before it is built.
  const ids = await suite().evaluate(down(1), down(2));
  await suite().runBuilds(ids);
  const rows = await suite().tables.rows(ids);
  const own = ids.map((id, index) =>
    rows.BuildSteps.filter((step) => step.build === id && step.drvpath === rows.Builds[index]?.drvpath),
  );
  expect(own.map((steps) => steps.map((step) => [step.status, step.busy, step.type]))).toEqual([
    [[13, 0, 0]],
    [[13, 0, 0]],
  ]);
  const resolved = own.map((steps) => String(steps[0]?.resolveddrvpath));
  expect(resolved[0]).toMatch(/^[0-9a-z]{32}-ca-down\.drv$/);
  expect(resolved[1]).toBe(resolved[0]);
  const outputs = rows.BuildOutputs.map((row) => row.path);
  expect(outputs[0]).toMatch(/-ca-down$/);
  expect(outputs[1]).toBe(outputs[0]);
  // Built once, for the build that asked first.
  const built = rows.BuildSteps.filter((step) => String(step.drvpath).endsWith(String(resolved[0])));
  expect(built.map((step) => [step.status, step.type])).toEqual([[0, 0]]);
  const shape = await shapes(suite(), ids);
  expect(shape.builds.toSorted()).toEqual(["0", "0 cached"]);
  expect(shape.heard.filter((one) => one.startsWith("build_finished")).toSorted()).toEqual([
    "build_finished 0",
    "build_finished 1",
  ]);
});

test("point 6: a build is active until its rows are committed", async () => {
  const ids = await suite().evaluate(shellDerivation("active", `${busybox} mkdir $out`));
  const [id = 0] = ids;
  const base = await suite().start();
  const active = async (): Promise<unknown> =>
    ((await (await fetch(`${base}/status/build/${id}/active`)).json()) as { active: unknown }).active;
  // Somebody holds the row when the result arrives: the transaction that ends the build has to wait.
  const { client } = suite().tables;
  await client.query("begin");
  await client.query("select 1 from builds where id = $1 for no key update", [id]);
  const build = suite().buildOn(base, [id]);
  const path = String((await suite().tables.rows([id])).BuildOutputs[0]?.path);
  await until("the output", () =>
    suite()
      .central.run("nix-store", ["--check-validity", path])
      .then(
        () => true,
        () => false,
      ),
  );
  await sleep(300);
  expect(await active()).toBe(true);
  await client.query("commit");
  await until("the build to be inactive", async () => (await active()) === false, { everyMs: 1 });
  expect(await shapes(suite(), ids)).toMatchObject({ builds: ["0"], steps: ["0.1 active build 0"] });
  await build;
});
