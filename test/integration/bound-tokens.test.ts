// With bindTokensToHosts a token is good for the machine whose name its file bears, and for no other.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { LyingBuilder } from "../support/lying-builder.js";
import { usePair } from "../support/pair.js";
import { testDatabase } from "../support/test-database.js";

let folder = "";
const pair = usePair(async () => {
  folder = await mkdtemp(join(tmpdir(), "hydra-tokens-"));
  const files = [join(folder, "box-a.token"), join(folder, "box-b.example.org")];
  for (const file of files) await writeFile(file, `secret of ${file}\n`.replaceAll(" ", "-"));
  const runner = { tokenPaths: files, bindTokensToHosts: true };
  return { databaseUrl: await testDatabase(), builders: [], runner };
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const tokenOf = (file: string): string => `secret-of-${join(folder, file)}`;
const joinAs = (hostname: string, token?: string): Promise<LyingBuilder> =>
  LyingBuilder.join(pair().gatewayUrl, "x86_64-linux", { hostname, ...(token !== undefined && { token }) });

test("a builder joins with the token of its own name", async () => {
  await using _a = await joinAs("box-a", tokenOf("box-a.token"));
  await using _b = await joinAs("box-b.example.org", tokenOf("box-b.example.org"));
  await pair().waitForBuilders(2);
});

test("nobody joins with another's token, or none", async () => {
  await pair().waitForBuilders(0);
  await expect(joinAs("box-b.example.org", tokenOf("box-a.token"))).rejects.toMatchObject({
    code: "permission-denied",
  });
  await expect(joinAs("box-a.token", tokenOf("box-a.token"))).rejects.toMatchObject({
    code: "permission-denied",
  });
  await expect(joinAs("box-a")).rejects.toMatchObject({ code: "unauthenticated" });
  await pair().waitForBuilders(0);
});
