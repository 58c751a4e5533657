// Builders without tokens and certificates, with presigned uploads: all behind a proxy are one peer to the runner.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { secretKey } from "../../binary-cache/samples.js";
import { GrpcProxy } from "../../support/grpc-proxy.js";
import { findNginx, startNginx } from "../../support/nginx.js";
import { usePair } from "../../support/pair.js";
import { recordings } from "../../support/recorded-builder.js";
import { type S3Server, startS3Server } from "../../support/s3-server/index.js";
import { testDatabase } from "../../support/test-database.js";
import { until } from "../../support/until.js";
import { expression } from "../recorded/cases.js";
import { buildOnEach, cancelOnEach, reserved, resumeOnEach } from "./checks.js";
import { joinRecorded } from "./recorded.js";

const nginx = findNginx();
if (nginx === undefined) process.stderr.write("nginx is not installed: no test goes through it\n");

const gateways: Readonly<Record<string, string | undefined>> = {
  straight: undefined,
  alone: "perCall",
  one: "shared",
  two: "shared",
  ...(nginx !== undefined && { web: "nginx" }),
};
const names = Object.keys(gateways);
const proxies: GrpcProxy[] = [];
let cutNginx = (): Promise<void> => Promise.resolve();
let scratch = "";
let s3: S3Server;

const pair = usePair(async () => {
  scratch = await mkdtemp(join(tmpdir(), "hydra-presigned-"));
  await writeFile(join(scratch, "key"), secretKey);
  s3 = await startS3Server();
  const proxy = (connections: "perCall" | "shared") => async (upstream: string) => {
    const started = await GrpcProxy.start({ upstream, connections });
    proxies.push(started);
    return started;
  };
  const store = s3.uri("cache", { compression: "zstd", "secret-key": join(scratch, "key") });
  return {
    databaseUrl: await testDatabase(),
    gateways: {
      perCall: proxy("perCall"),
      shared: proxy("shared"),
      ...(nginx !== undefined && {
        nginx: async (upstream: string) => {
          const started = await startNginx(nginx, upstream, { keepaliveRequests: 40, keptUpstream: 4 });
          cutNginx = () => started.cut();
          return started;
        },
      }),
    },
    runner: { remoteStoreAddr: [store], usePresignedUploads: true },
    runnerEnv: {
      AWS_ACCESS_KEY_ID: s3.keys.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.keys.secretAccessKey,
    },
    builders: names.map((name) => {
      const gateway = gateways[name];
      return reserved(name, gateway === undefined ? {} : { gateway });
    }),
  };
});
afterAll(async () => {
  await s3?.close();
  await rm(scratch, { recursive: true, force: true });
});

const narInfo = (path: string): Promise<string> =>
  until(`the narinfo of ${path}`, () =>
    s3.objects
      .get("cache")
      ?.get(`${basename(path).slice(0, 32)}.narinfo`)
      ?.body.toString(),
  );

test("builds, logs and presigned outputs", async () => {
  for (const output of await buildOnEach(pair(), names)) {
    const text = await narInfo(output);
    expect(text).toContain("Sig: test.example.org-1:");
    expect(s3.objects.get("cache")?.has(/^URL: (.*)$/m.exec(text)?.[1] ?? "")).toBe(true);
    // It never went through the runner.
    await expect(pair().store.run("nix-store", ["-q", "--hash", output])).rejects.toThrow(/not valid/);
  }
});

test("a build that is cancelled ends on its machine", async () => {
  await cancelOnEach(pair(), names);
});

test("builds go on after all connections broke", async () => {
  await resumeOnEach(pair(), names, async () => {
    for (const proxy of proxies) proxy.cut();
    await cutNginx();
  });
});

/** A regular file as a NAR. */
function narOf(contents: string): Buffer {
  const strings = ["nix-archive-1", "(", "type", "regular", "contents", contents, ")"];
  return Buffer.concat(
    strings.map((one) => {
      const bytes = Buffer.alloc(8 + Math.ceil(one.length / 8) * 8);
      bytes.writeBigUInt64LE(BigInt(one.length));
      bytes.write(one, 8);
      return bytes;
    }),
  );
}

test("the recorded builder uploads into the bucket, through a proxy that mixes calls", async () => {
  const [drv = ""] = await pair().instantiate(
    expression(
      'let src = builtins.toFile "src" "source text\\n"; in sh ("read x < " + src + "; echo got $x > $out") { name = "frominput"; }',
    ),
  );
  expect(basename(drv)).toBe("h6nlf6r0fc3cdmf2y16gh3172gvi1phy-frominput.drv");
  const path = "zip8w70gb4b3g8nicf10d4km9q0g7h9i-frominput";
  const nars = new Map([[path, narOf("got source text\n")]]);
  await using builder = await joinRecorded(pair(), { gateway: "shared", nars }, recordings.presigned);
  const [id = 0] = await pair().tables.addBuilds([{ drv, jobsetId: pair().jobsetId }]);
  await builder.build("frominput.drv");
  await pair().tables.waitFinished([id]);
  const { Builds, BuildSteps } = await pair().tables.rows([id]);
  expect(Builds).toMatchObject([{ buildstatus: 0, size: 128, closuresize: 128 }]);
  expect(BuildSteps).toMatchObject([{ status: 0, machine: "vm" }]);
  expect(await narInfo(path)).toMatch(/^NarHash: sha256:[0-9a-z]{52}\nNarSize: 128$/m);
});
