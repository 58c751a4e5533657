import { once } from "node:events";
import { openSync } from "node:fs";
import { rename } from "node:fs/promises";
import { type IncomingMessage, type RequestOptions, request } from "node:http";
import { createServer, type Server } from "node:net";
import { text } from "node:stream/consumers";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { UsageError } from "../../lib/errors.js";
import { inheritedSockets } from "../../lib/process/index.js";
import { scratchFolder } from "./child.js";

const take = (env: Record<string, string>, isSocket: (fd: number) => boolean = () => true) =>
  Object.fromEntries(inheritedSockets(env, { pid: 100, isSocket }));

describe("inheritedSockets", () => {
  it("finds nothing without a usable LISTEN_FDS", () => {
    expect(take({})).toEqual({});
    for (const LISTEN_FDS of ["", "0", "x", "-1", "1.5", "99999999999"]) {
      expect(take({ LISTEN_FDS, LISTEN_FDNAMES: "rest" })).toEqual({});
    }
  });

  it("goes by name", () => {
    expect(take({ LISTEN_FDS: "2", LISTEN_FDNAMES: "grpc:rest" })).toEqual({ grpc: 3, rest: 4 });
    expect(take({ LISTEN_FDS: "3", LISTEN_FDNAMES: "other:grpc:rest" })).toEqual({ grpc: 4, rest: 5 });
    expect(take({ LISTEN_FDS: "1", LISTEN_FDNAMES: "grpc" })).toEqual({ grpc: 3 });
  });

  it("goes by place without names: rest first, grpc second", () => {
    expect(take({ LISTEN_FDS: "2" })).toEqual({ rest: 3, grpc: 4 });
    expect(take({ LISTEN_FDS: "1" })).toEqual({ rest: 3 });
    expect(take({ LISTEN_FDS: "2", LISTEN_FDNAMES: "a:b" })).toEqual({ rest: 3, grpc: 4 });
  });

  it("honours LISTEN_FDS_FIRST_FD", () => {
    expect(take({ LISTEN_FDS: "2", LISTEN_FDS_FIRST_FD: "10" })).toEqual({ rest: 10, grpc: 11 });
  });

  it("does not look at a missing LISTEN_PID, but refuses one of another process", () => {
    expect(take({ LISTEN_FDS: "1", LISTEN_PID: "" })).toEqual({ rest: 3 });
    expect(take({ LISTEN_FDS: "1", LISTEN_PID: "100" })).toEqual({ rest: 3 });
    expect(take({ LISTEN_FDS: "1", LISTEN_PID: "101" })).toEqual({});
    expect(take({ LISTEN_FDS: "1", LISTEN_PID: "what" })).toEqual({});
  });

  it("refuses a name that stands there twice and descriptors that are no sockets", () => {
    expect(() => take({ LISTEN_FDS: "2", LISTEN_FDNAMES: "grpc:grpc" })).toThrow(UsageError);
    expect(() => take({ LISTEN_FDS: "2" }, (fd) => fd !== 4)).toThrow(/'grpc' as descriptor 4/);
    const fd = openSync("/dev/null", "r");
    expect(() => inheritedSockets({ LISTEN_FDS: "1", LISTEN_FDS_FIRST_FD: String(fd) })).toThrow(UsageError);
  });

  it("never gives one descriptor twice or one beyond the count, and clears the environment", () => {
    const name = fc.constantFrom("rest", "grpc", "x", "");
    fc.assert(
      fc.property(fc.nat(5), fc.array(name, { maxLength: 5 }), fc.nat(20), (count, names, first) => {
        fc.pre(
          new Set(names.filter((one) => one === "rest" || one === "grpc")).size >=
            names.filter((one) => one === "rest" || one === "grpc").length,
        );
        const env: Record<string, string> = {
          LISTEN_FDS: String(count),
          LISTEN_FDNAMES: names.join(":"),
          LISTEN_FDS_FIRST_FD: String(first),
          OTHER: "stays",
        };
        const fds = [...inheritedSockets(env, { isSocket: () => true }).values()];
        expect(new Set(fds).size).toBe(fds.length);
        for (const fd of fds) expect(fd >= first && fd < first + count).toBe(true);
        expect(env).toEqual({ OTHER: "stays" });
      }),
    );
  });

  it("serves on sockets that the parent opened, of both families", async () => {
    await using folder = await scratchFolder();
    const servers: Server[] = [createServer(), createServer()];
    const unixPath = `${folder.path}/grpc.sock`;
    await new Promise<void>((done) => servers[0]?.listen(0, "127.0.0.1", () => done()));
    await new Promise<void>((done) => servers[1]?.listen(unixPath, () => done()));
    const address = servers[0]?.address();
    const port = typeof address === "object" ? address?.port : undefined;
    // Node keeps the number of the descriptor in its handle.
    const fds = servers.map((server) => (server as unknown as { _handle: { fd: number } })._handle.fd);
    const child = await folder.start(
      `
      import { createServer } from "node:http";
      const sockets = lib.inheritedSockets();
      for (const [name, fd] of sockets) {
        const server = createServer((_, response) => response.end(name));
        await new Promise((done) => server.listen({ fd }, done));
      }
      console.log(JSON.stringify([[...sockets], process.env.LISTEN_FDS ?? null]));
      `,
      { env: { LISTEN_FDS: "2", LISTEN_FDNAMES: "rest:grpc" }, stdio: fds },
    );
    expect(JSON.parse(await child.line())).toEqual([
      [
        ["rest", 3],
        ["grpc", 4],
      ],
      null,
    ]);
    // The parent's handles must not take the connections; its close would also remove the file of the Unix socket.
    const moved = `${folder.path}/moved.sock`;
    await rename(unixPath, moved);
    for (const server of servers) server.close();
    const get = async (options: RequestOptions): Promise<string> => {
      const asked = request(options).end();
      const [response] = (await once(asked, "response")) as [IncomingMessage];
      return text(response);
    };
    expect(await get({ host: "127.0.0.1", port })).toBe("rest");
    expect(await get({ socketPath: moved })).toBe("grpc");
  });
});
