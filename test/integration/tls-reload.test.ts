// SIGHUP shows a renewed certificate to whoever connects from then on.
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startChild } from "../support/child.js";
import { freePort } from "../support/free-port.js";
import { startNixStore, type TestNixStore } from "../support/nix.js";
import { queueRunnerProgram } from "../support/pair.js";
import { testDatabase } from "../support/test-database.js";

let folder = "";
let store: TestNixStore | undefined;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "hydra-tls-"));
  store = await startNixStore({ directory: folder, name: "store" });
});
afterAll(async () => {
  await store?.close();
  await rm(folder, { recursive: true, force: true });
});

const certificate = () => join(folder, "cert.pem");
const key = () => join(folder, "key.pem");

async function issue(name: string): Promise<void> {
  const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const files = ["-keyout", key(), "-out", certificate(), "-subj", `/CN=${name}`, "-days", "2"];
  await promisify(execFile)("openssl", [...request, ...files]);
}

/** Whose certificate the server shows. */
function shown(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(
      { host: "127.0.0.1", port, rejectUnauthorized: false, ALPNProtocols: ["h2"] },
      () => {
        resolve(String(socket.getPeerCertificate().subject.CN));
        socket.destroy();
      },
    );
    socket.on("error", reject);
  });
}

test("a renewed certificate counts after SIGHUP; one that does not fit its key is refused", async () => {
  await issue("before");
  const config = join(folder, "runner.toml");
  await writeFile(
    config,
    `dbUrl = "${await testDatabase()}"\nhydraDataDir = "${folder}/data"\nrootsDir = "${folder}/roots"\n`,
  );
  const grpc = await freePort();
  const child = startChild({
    name: "queue-runner",
    command: process.execPath,
    args: [
      queueRunnerProgram,
      ...["--config-path", config, "--rest-bind", "127.0.0.1:0", "--grpc-bind", `127.0.0.1:${grpc}`],
      ...["--server-cert-path", certificate(), "--server-key-path", key()],
    ],
    env: { ...store?.env, LOGNAME: "tester" },
  });
  try {
    await child.waitForOutput(/listening/);
    expect(await shown(grpc)).toBe("before");
    await issue("after");
    process.kill(child.pid, "SIGHUP");
    await child.waitForOutput(/settings reloaded/);
    expect(await shown(grpc)).toBe("after");
    await writeFile(key(), "no key at all");
    process.kill(child.pid, "SIGHUP");
    await child.waitForOutput(/settings not reloaded.*TLS/);
    expect(await shown(grpc)).toBe("after");
  } finally {
    expect((await child.stop()).code).toBe(0);
  }
});
