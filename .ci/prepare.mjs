// Makes a fresh clone ready to run: npm dependencies, and Nix with the few Debian tools that tests and demo need.
// Everything it prints goes to standard error, so that `npm run demo -- --json` keeps standard output clean.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const say = (line) => process.stderr.write(`${line}\n`);

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: ["ignore", 2, 2], ...options });
  if (result.status !== 0) {
    say(
      `prepare: \`${command} ${args.join(" ")}\` failed (${result.error?.message ?? `exit ${result.status}`})`,
    );
    process.exit(1);
  }
}

function onPath(program) {
  return spawnSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore" }).status === 0;
}

function dependenciesAreFresh() {
  const marker = `${root}/node_modules/.package-lock.json`;
  return existsSync(marker) && statSync(marker).mtimeMs >= statSync(`${root}/package-lock.json`).mtimeMs;
}

const [major] = process.versions.node.split(".").map(Number);
if (major < 20) {
  say(`prepare: Node 20 or newer is needed, this is ${process.version}`);
  process.exit(1);
}

if (!dependenciesAreFresh()) {
  say("prepare: installing npm dependencies");
  run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
}

// program -> Debian package that brings it
const needed = new Map([
  ["nix-daemon", "nix-bin"],
  ["openssl", "openssl"],
  ["busybox", "busybox-static"],
  ["xz", "xz-utils"],
  ["zstd", "zstd"],
  ["bzip2", "bzip2"],
]);
const missing = [...needed].filter(([program]) => !onPath(program)).map(([, name]) => name);
if (missing.length > 0) {
  const debian = existsSync("/etc/debian_version") && /debian/i.test(readFileSync("/etc/os-release", "utf8"));
  if (!debian || process.getuid?.() !== 0) {
    say(
      `prepare: ${missing.join(", ")} not found on PATH; install Nix (https://nixos.org/download) and the rest with your package manager, or run as root on Debian`,
    );
    process.exit(1);
  }
  say(`prepare: installing ${missing.join(", ")} from Debian's packages`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  run("apt-get", ["update", "-qq"], { env });
  run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...missing], {
    env,
    stdio: ["ignore", "ignore", 2],
  });
}
execFileSync("nix-daemon", ["--version"], { stdio: "ignore" });
