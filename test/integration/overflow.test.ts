// The overflow store: outputs that only listed jobsets want go there, and from there into the cache when others want
// them, too.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { publicKey, secretKey } from "../binary-cache/samples.js";
import { shellDerivation } from "../support/nix.js";
import { type Pair, usePair } from "../support/pair.js";
import { type S3Server, startS3Server } from "../support/s3-server/index.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";

const overflowSecret =
  "alpha.example.org-1:QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkIhUvjRm3kdJEUyQuFfLqtst8/6e2pe0wCXlg4GmIHbEg==";
const overflowPublic = "alpha.example.org-1:IVL40Zt5HSRFMkLhXy6rbLfP+ntqXtMAl5YOBpiB2xI=";

let s3: S3Server;
let scratch: string;
/** `p:junk` is listed for the overflow store, the pair's own jobset is not. */
let junk: number;

async function options(presigned: boolean) {
  scratch = await mkdtemp(join(tmpdir(), "overflow-"));
  await writeFile(join(scratch, "main-key"), secretKey);
  await writeFile(join(scratch, "overflow-key"), overflowSecret);
  s3 = await startS3Server({ buckets: ["main", "overflow"], publicRead: true });
  const store = (bucket: string): string =>
    s3.uri(bucket, {
      compression: "zstd",
      "write-nar-listing": "true",
      "secret-key": join(scratch, `${bucket}-key`),
    });
  return {
    databaseUrl: await testDatabase(),
    runner: {
      remoteStoreAddr: [store("main")],
      usePresignedUploads: presigned,
      overflowStore: { toml: `{ store = ${JSON.stringify(store("overflow"))}, jobsets = ["p:junk"] }` },
    },
    runnerEnv: {
      AWS_ACCESS_KEY_ID: s3.keys.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.keys.secretAccessKey,
    },
    builders: [
      {
        nixConf: `extra-substituters = ${s3.url}/main ${s3.url}/overflow\ntrusted-public-keys = ${publicKey} ${overflowPublic}`,
      },
    ],
  };
}

async function queue(pair: Pair, jobsetId: number, expression: string): Promise<number> {
  const [drv = ""] = await pair.instantiate(expression);
  const [id = 0] = await pair.tables.addBuilds([{ drv, jobsetId }]);
  return id;
}

async function finish(pair: Pair, id: number): Promise<{ readonly path: string; readonly cached: boolean }> {
  await pair.tables.waitFinished([id]);
  const rows = await pair.tables.rows([id]);
  expect(rows.Builds).toMatchObject([{ finished: 1, buildstatus: 0 }]);
  return { path: String(rows.BuildOutputs[0]?.path), cached: rows.Builds[0]?.iscachedbuild === 1 };
}

function narInfo(bucket: string, path: string): string | undefined {
  const key = `${basename(path).slice(0, 32)}.narinfo`;
  return s3.objects.get(bucket)?.get(key)?.body.toString();
}

/** The cache has the path, signed with its own key and no other. */
function expectSigned(path: string): void {
  const text = narInfo("main", path) ?? "";
  expect(text.match(/^Sig: .*?:/gm)).toEqual(["Sig: test.example.org-1:"]);
  expect(s3.objects.get("main")?.has(/^URL: (.*)$/m.exec(text)?.[1] ?? "")).toBe(true);
}

describe("with builders that upload for themselves", () => {
  const pair = usePair(() => options(true));
  beforeAll(async () => {
    junk = await pair().tables.addJobset("junk");
  });
  afterAll(async () => {
    await s3.close();
    await rm(scratch, { recursive: true, force: true });
  });

  const lower = shellDerivation("lower", "echo a line of log; echo lower > $out");
  const upper = shellDerivation(
    "upper",
    "read x < $lower; echo the log of upper; echo $x $lower > $out",
    `lower = ${lower};`,
  );

  test("what only listed jobsets want goes to the overflow store", async () => {
    const { path, cached } = await finish(pair(), await queue(pair(), junk, upper));
    expect(cached).toBe(false);
    expect(narInfo("overflow", path)).toMatch(/^Sig: alpha\.example\.org-1:/m);
    expect([...(s3.objects.get("main")?.keys() ?? [])]).toEqual(["nix-cache-info"]);
  });

  test("a listed jobset finds it there", async () => {
    const { cached } = await finish(pair(), await queue(pair(), junk, upper));
    expect(cached).toBe(true);
    expect([...(s3.objects.get("main")?.keys() ?? [])]).toEqual(["nix-cache-info"]);
  });

  test("another jobset gets it from there, by the server's own copy, with log and references", async () => {
    s3.requests.length = 0;
    const id = await queue(pair(), pair().jobsetId, upper);
    const { path, cached } = await finish(pair(), id);
    expect(cached).toBe(true);
    expectSigned(path);
    const references = /^References: (.*)$/m.exec(narInfo("main", path) ?? "")?.[1]?.split(" ") ?? [];
    expect(references).toHaveLength(1);
    for (const reference of references) expectSigned(reference);
    const nars = s3.requests.filter(({ key }) => key.startsWith("nar/"));
    expect(nars.filter(({ headers }) => headers["x-amz-copy-source"] !== undefined)).toHaveLength(2);
    expect(nars.filter(({ method }) => method === "GET")).toEqual([]);
    const order = s3.requests
      .filter(({ method, key }) => method === "PUT" && key.endsWith(".narinfo"))
      .map(({ key }) => key.slice(0, 32));
    expect(order).toEqual([references[0]?.slice(0, 32), basename(path).slice(0, 32)]);
    const [drv = ""] = await pair().instantiate(upper);
    expect(
      s3.objects
        .get("main")
        ?.get(`log/${basename(drv)}`)
        ?.body.toString(),
    ).toBe("the log of upper\n");
    expect((await pair().tables.rows([id])).BuildSteps.filter(({ machine }) => machine !== "")).toEqual([]);
  });

  test("what was built for a listed jobset while another came to want it is in both stores", async () => {
    const expression = shellDerivation("shared", "/bin/busybox sleep 3; echo shared > $out");
    const first = await queue(pair(), junk, expression);
    await pair().tables.waitBusy(first);
    const second = await queue(pair(), pair().jobsetId, expression);
    const { path } = await finish(pair(), second);
    await finish(pair(), first);
    expectSigned(path);
    expect(narInfo("overflow", path)).toBeDefined();
  });

  test("what cannot be copied is built", async () => {
    const expression = shellDerivation("damaged", "echo damaged > $out");
    const { path } = await finish(pair(), await queue(pair(), junk, expression));
    const url = /^URL: (.*)$/m.exec(narInfo("overflow", path) ?? "")?.[1] ?? "";
    s3.objects.get("overflow")?.delete(url);
    const { cached } = await finish(pair(), await queue(pair(), pair().jobsetId, expression));
    expect(cached).toBe(false);
    expectSigned(path);
  });
});

describe("with outputs that come to the runner", () => {
  const pair = usePair(() => options(false));
  beforeAll(async () => {
    junk = await pair().tables.addJobset("junk");
  });
  afterAll(async () => {
    await s3.close();
    await rm(scratch, { recursive: true, force: true });
  });

  test("they go to the overflow store, and into the cache when another jobset wants them", async () => {
    const expression = shellDerivation("local", "echo local > $out");
    const { path } = await finish(pair(), await queue(pair(), junk, expression));
    expect(narInfo("overflow", path)).toMatch(/^Sig: alpha\.example\.org-1:/m);
    await finish(pair(), await queue(pair(), junk, expression));
    expect(narInfo("main", path)).toBeUndefined();
    const { cached } = await finish(pair(), await queue(pair(), pair().jobsetId, expression));
    expect(cached).toBe(true);
    await until("the upload", () => narInfo("main", path) !== undefined);
    expectSigned(path);
  });
});
