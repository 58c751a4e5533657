// A build that is asked for by hand: PUT /build, with the derivation as base name or with its folder.
import { basename } from "node:path";
import { describe, expect, test } from "vitest";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";

const pair = usePair(async () => ({ databaseUrl: await testDatabase() }));

async function put(
  body: unknown,
): Promise<{ readonly status: number; readonly answer: Record<string, unknown> }> {
  const response = await fetch(`${pair().statusUrl}/build`, {
    method: "PUT",
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  return { status: response.status, answer: (await response.json()) as Record<string, unknown> };
}

async function drvOf(name: string): Promise<string> {
  const [drv = ""] = await pair().instantiate(
    shellDerivation(name, `/bin/busybox sleep 0.3; echo ${name} > $out`),
  );
  return drv;
}

describe("PUT /build", () => {
  for (const [kind, spell] of [
    ["absolute path", (drv: string) => drv],
    ["base name", (drv: string) => basename(drv)],
  ] as const) {
    test(`builds a derivation given as ${kind}`, async () => {
      const drv = await drvOf(kind.replace(" ", "-"));
      const { status, answer } = await put({ jobsetId: pair().jobsetId, drv: spell(drv) });
      expect(status).toBe(200);
      const id = Number(answer.buildId);
      expect(await pair().get(`/status/build/${id}/active`)).toEqual({ active: true });

      await until(
        "the build to be over",
        async () => (await pair().get(`/status/build/${id}/active`)).active === false,
      );
      // No longer active means: everything is in the database.
      const rows = await pair().tables.rows([id]);
      expect(rows.Builds).toMatchObject([
        { id, finished: 1, buildstatus: 0, drvpath: drv, jobset_id: pair().jobsetId },
      ]);
      expect(rows.BuildSteps).toMatchObject([{ build: id, stepnr: 1, busy: 0, status: 0, drvpath: drv }]);
    });
  }

  test("refuses what it cannot build, and says why", async () => {
    const { jobsetId } = pair();
    const bad = [
      { jobsetId, drv: "not-a-derivation" },
      { jobsetId, drv: "/nix/store/zm6jm60iylv63nd1xvb86clzpidn147y-hello" },
      { jobsetId, drv: "/nix/store/zm6jm60iylv63nd1xvb86clzpidn147y-hello.drv" },
      { jobsetId: 4711, drv: await drvOf("nowhere") },
      { drv: await drvOf("nobody") },
      "not JSON",
    ];
    for (const body of bad) {
      const { status, answer } = await put(body);
      expect(status, JSON.stringify(body)).toBeGreaterThanOrEqual(400);
      expect(status, JSON.stringify(body)).toBeLessThan(500);
      expect(answer.error, JSON.stringify(body)).toMatch(/\w/);
    }
    const { rows } = await pair().tables.client.query("select id from builds where finished = 0");
    expect(rows).toEqual([]);
  });

  test("a build nobody knows is not active", async () => {
    expect(await pair().get("/status/build/999999/active")).toEqual({ active: false });
  });
});
