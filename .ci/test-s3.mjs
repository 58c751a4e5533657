// `npm run test:s3`: the binary cache against a real Ceph radosgw (its dbstore backend needs no cluster).
//
// Debian's packages are unpacked below `.tmp/radosgw` and run with their own loader; nothing is installed.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { environment, root } from "./tools.mjs";

const base = join(root, ".tmp/radosgw");
/** Oldest release whose radosgw has the dbstore backend. */
const release = "trixie";
const keys = { accessKeyId: "test-key", secretAccessKey: "test-secret" };

function fail(text) {
  process.stderr.write(`test:s3: ${text}\n`);
  process.exit(1);
}

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { encoding: "utf8", maxBuffer: 1 << 26, ...options });
  if (result.status !== 0) fail(`${command} failed: ${result.stderr ?? result.error?.message}`);
  return result.stdout;
}

/** Downloads and unpacks, once. */
function unpack() {
  const tree = join(base, "root");
  if (existsSync(join(tree, "usr/bin/radosgw"))) return tree;
  if (!existsSync("/etc/debian_version") || process.getuid?.() !== 0) {
    fail("radosgw is taken from Debian's packages, which needs root on Debian");
  }
  for (const folder of ["lists/partial", "cache/archives/partial", "state"]) {
    mkdirSync(join(base, folder), { recursive: true });
  }
  writeFileSync(join(base, "state/status"), "");
  writeFileSync(
    join(base, "sources.list"),
    `deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian ${release} main\n`,
  );
  const options = Object.entries({
    "Dir::Etc::SourceList": join(base, "sources.list"),
    "Dir::Etc::SourceParts": "/dev/null",
    "Dir::State": join(base, "state"),
    "Dir::State::Lists": join(base, "lists"),
    "Dir::State::Status": join(base, "state/status"),
    "Dir::Cache": join(base, "cache"),
    "APT::Sandbox::User": "root",
    "Debug::NoLocking": "1",
  }).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  process.stderr.write("test:s3: fetching radosgw (81 MB)\n");
  run("apt-get", [...options, "-qq", "update"]);
  run("apt-get", [
    ...options,
    "-qq",
    "install",
    "-y",
    "--no-install-recommends",
    "--download-only",
    "radosgw",
  ]);
  const archives = join(base, "cache/archives");
  const partial = `${tree}.partial`;
  rmSync(partial, { recursive: true, force: true });
  for (const name of readdirSync(archives).filter((one) => one.endsWith(".deb"))) {
    run("dpkg", ["-x", join(archives, name), partial]);
  }
  run("mv", [partial, tree]);
  return tree;
}

function libraryFolders(tree) {
  const found = run("find", [tree, "-name", "*.so*"])
    .split("\n")
    .filter((line) => line !== "");
  return [...new Set(found.map((file) => dirname(file)))].join(":");
}

async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

const tree = unpack();
const data = join(base, "data");
rmSync(data, { recursive: true, force: true });
mkdirSync(data, { recursive: true });
const port = await freePort();
const url = `http://127.0.0.1:${port}`;
const config = join(base, "ceph.conf");
writeFileSync(
  config,
  `${[
    "[global]",
    "no_mon_config = true",
    "rgw_backend_store = dbstore",
    "rgw_config_store = dbstore",
    `dbstore_db_dir = ${data}`,
    `dbstore_config_uri = file:${data}/config.db`,
    `rgw_data = ${data}`,
    `rgw_frontends = beast endpoint=127.0.0.1:${port}`,
    `plugin_dir = ${tree}/usr/lib/x86_64-linux-gnu/ceph`,
    `log_file = ${data}/log`,
    `admin_socket = ${data}/asok`,
    `run_dir = ${data}`,
  ].join("\n")}\n`,
);
const loader = join(tree, "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2");
const command = (program, args) => [
  ...["--library-path", libraryFolders(tree), join(tree, "usr/bin", program)],
  ...["--no-mon-config", "-c", config, ...args],
];
const user = ["user", "create", "--uid=test", "--display-name=test"];
run(
  loader,
  command("radosgw-admin", [
    ...user,
    `--access-key=${keys.accessKeyId}`,
    `--secret-key=${keys.secretAccessKey}`,
  ]),
);
const server = spawn(loader, command("radosgw", ["-f", "-n", "client.rgw"]), { stdio: "ignore" });
let status = 1;
try {
  for (let tries = 0; ; tries++) {
    if (
      await fetch(url).then(
        () => true,
        () => false,
      )
    )
      break;
    if (server.exitCode !== null || tries > 200) fail(`radosgw did not start, see ${data}/log`);
    await sleep(100);
  }
  const env = { ...environment, S3_TEST_ENDPOINT: url, S3_TEST_KEY: keys.accessKeyId };
  status =
    spawnSync("vitest", ["run", "--config", "test/vitest.config.ts", "--project", "s3"], {
      cwd: root,
      stdio: "inherit",
      env: { ...env, S3_TEST_SECRET: keys.secretAccessKey },
    }).status ?? 1;
} finally {
  server.kill("SIGKILL");
}
process.exit(status);
