// The real nginx as a gRPC proxy.
import { accessSync, constants } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { type Child, startChild } from "./child.js";
import { freePort } from "./free-port.js";
import type { Gateway } from "./pair.js";
import { until } from "./until.js";

/** Its program; undefined where it is not installed. Debian keeps it out of the PATH of ordinary users. */
export function findNginx(): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"];
  return folders
    .map((folder) => join(folder, "nginx"))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

export interface NginxOptions {
  /** Requests after which it closes a client's connection with GOAWAY; nginx's own default is 1,000. */
  readonly keepaliveRequests: number;
  /** Upstream connections that it keeps, for the calls of all clients; 0: each call gets one of its own. */
  readonly keptUpstream: number;
}

/** Nginx, which can also be killed and started again. */
export interface Nginx extends Gateway {
  cut(): Promise<void>;
}

/** Starts nginx before the runner at this URL (`http://host:port`). */
export async function startNginx(
  program: string,
  runnerUrl: string,
  { keepaliveRequests, keptUpstream }: NginxOptions,
): Promise<Nginx> {
  const folder = await mkdtemp(join(tmpdir(), "nginx-"));
  const port = await freePort();
  await mkdir(join(folder, "temporary"));
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/temporary/${name};`)
    .join("\n  ");
  await writeFile(
    join(folder, "nginx.conf"),
    `daemon off;
master_process off;
pid ${folder}/pid;
error_log stderr warn;
events { worker_connections 512; }
http {
  ${temporary}
  access_log off;
  upstream runner {
    server ${runnerUrl.replace("http://", "")};
    ${keptUpstream === 0 ? "" : `keepalive ${keptUpstream};`}
  }
  server {
    listen 127.0.0.1:${port} http2;
    keepalive_requests ${keepaliveRequests};
    client_max_body_size 0;
    client_body_timeout 1h;
    location / {
      grpc_pass grpc://runner;
      grpc_read_timeout 1h;
      grpc_send_timeout 1h;
    }
  }
}
`,
  );
  const start = async (): Promise<Child> => {
    const started = startChild({
      name: "nginx",
      command: program,
      args: ["-p", folder, "-c", join(folder, "nginx.conf")],
      env: { PATH: process.env.PATH },
    });
    const ended = started.ended.then(() => {
      throw new Error(`nginx ended:\n${started.output()}`);
    });
    ended.catch(() => undefined);
    await until("nginx to answer", () => accepts(port), { unless: ended });
    return started;
  };
  let child = await start();
  return {
    endpoint: `http://127.0.0.1:${port}`,
    async cut() {
      await child.kill();
      child = await start();
    },
    async [Symbol.asyncDispose]() {
      await child.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
