// Programs print nothing that is not theirs: the AWS SDK warns about old versions of Node unless it is asked not to.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type S3Server, startS3Server } from "../../support/s3-server/index.js";

const run = promisify(execFile);

describe("a program that opens a bucket", () => {
  let server: S3Server;
  beforeAll(async () => {
    server = await startS3Server();
  });
  afterAll(() => server.close());

  it("prints nothing, and leaves its environment as it was", async () => {
    const entrance = new URL("../../../dist/lib/binary-cache/index.js", import.meta.url).href;
    const uri = server.uri("cache", {});
    const program = `
      import { openBinaryCache } from ${JSON.stringify(entrance)};
      const before = JSON.stringify(process.env);
      const cache = await openBinaryCache(${JSON.stringify(uri)}, { credentials: ${JSON.stringify(server.keys)} });
      const found = await cache.objects.head("nix-cache-info");
      cache.close();
      if (found === undefined || JSON.stringify(process.env) !== before) process.exit(1);`;
    const { stdout, stderr } = await run(process.execPath, ["--input-type=module", "-e", program], {
      env: {},
    });
    expect(stdout + stderr).toBe("");
  });
});
