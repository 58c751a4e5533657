// What a connection makes of a daemon that lies; the daemon is a prepared sequence of bytes.
import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { matchBuildResults } from "../../../lib/nix/daemon/build.js";
import { DaemonConnection } from "../../../lib/nix/daemon/connection.js";
import { clientMagic, serverMagic, stderrCode } from "../../../lib/nix/daemon/protocol/numbers.js";
import { addToStore, isValidPath, queryAllValidPaths } from "../../../lib/nix/daemon/protocol/operations.js";
import { WireWriter } from "../../../lib/nix/daemon/protocol/writer.js";
import { streamTransport } from "../../../lib/nix/daemon/transport.js";
import { once } from "../../../lib/nix/daemon/upload-bodies.js";
import { defaultStoreDir, parseStorePath } from "../../../lib/nix/path/store-path.js";
import type { BuildResult } from "../../../lib/nix/store/store.js";

const path = parseStorePath(`${"0".repeat(32)}-x`);

function connect(says: (writer: WireWriter) => void, offered = (1 << 8) | 34) {
  const fromDaemon = new PassThrough();
  const toDaemon = new PassThrough();
  const writer = new WireWriter().u64(serverMagic).u64(offered);
  if ((offered & 0xff) >= 33) writer.text("2.8.0");
  if ((offered & 0xff) >= 35) writer.u64(1);
  writer.u64(stderrCode.last);
  says(writer);
  fromDaemon.write(writer.take());
  const opened = DaemonConnection.over(streamTransport(fromDaemon, toDaemon), defaultStoreDir);
  return { opened, fromDaemon, toDaemon };
}

describe("a connection", () => {
  it("agrees on the smaller version and greets with its magic number", async () => {
    const { opened, toDaemon } = connect((writer) => writer.u64(stderrCode.last).bool(true));
    const connection = await opened;
    expect(connection.server).toMatchObject({ minor: 34, nixVersion: "2.8.0", trust: "unknown" });
    expect(await connection.run(isValidPath(path))).toBe(true);
    expect((toDaemon.read() as Buffer).readUInt32LE(0)).toBe(clientMagic);
  });

  it("refuses a peer that is too old, or no daemon", async () => {
    await expect(connect(() => {}, (1 << 8) | 20).opened).rejects.toMatchObject({ code: "protocol" });
    const other = new PassThrough();
    other.write(Buffer.alloc(64, "HTTP/1.1 400 Bad Request\r\n"));
    const opened = DaemonConnection.over(streamTransport(other, new PassThrough()), defaultStoreDir);
    await expect(opened).rejects.toMatchObject({ code: "protocol" });
  });

  it.each([
    ["a string longer than allowed", (w: WireWriter) => w.u64(1).u64(2 ** 40)],
    ["a count beyond exact numbers", (w: WireWriter) => w.u64(0xffff_ffff_ffff_ffffn)],
    ["a path of another directory", (w: WireWriter) => w.u64(1).text("/etc/passwd")],
  ])("refuses %s, without waiting for its bytes, and closes", async (_, says) => {
    const { opened } = connect((writer) => says(writer.u64(stderrCode.last)));
    const connection = await opened;
    await expect(connection.run(queryAllValidPaths())).rejects.toMatchObject({ code: "protocol" });
    expect(connection.closed).toBe(true);
  });

  it("passes on the daemon's own error without escapes and closes", async () => {
    const { opened } = connect((writer) =>
      writer
        .u64(stderrCode.error)
        .text("Error")
        .u64(0)
        .text("Error")
        .text("\u001b[31;1merror:\u001b[0m bad\0")
        .u64(0)
        .u64(0),
    );
    const connection = await opened;
    await expect(connection.run(isValidPath(path))).rejects.toMatchObject({ code: "remote", message: "bad" });
    expect(connection.closed).toBe(true);
  });

  it("is not used again when the daemon spoke out of turn", async () => {
    const { opened } = connect((writer) => writer.u64(stderrCode.last).bool(true).u64(7));
    const connection = await opened;
    expect(await connection.run(isValidPath(path))).toBe(true);
    expect(connection.usable).toBe(false);
  });

  it("refuses an upload that cannot be written, and leaves no failure behind", async () => {
    const unhandled: unknown[] = [];
    const note = (error: unknown): void => void unhandled.push(error);
    process.on("unhandledRejection", note);
    const { opened } = connect(() => {});
    const connection = await opened;
    const operation = addToStore("a", "text:sha256", 5 as never, false);
    await expect(connection.upload(operation, once(new Uint8Array()))).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining("addToStore"),
    });
    expect(connection.closed).toBe(true);
    await new Promise((resolve) => setImmediate(resolve));
    process.off("unhandledRejection", note);
    expect(unhandled).toEqual([]);
  });

  it("says that it was lost when the daemon hangs up in the middle", async () => {
    const { opened, fromDaemon } = connect((writer) => writer.u64(stderrCode.last).u64(3));
    const connection = await opened;
    const answer = connection.run(queryAllValidPaths());
    fromDaemon.end();
    await expect(answer).rejects.toMatchObject({ code: "closed" });
  });
});

describe("results of several targets", () => {
  const result = (status: BuildResult["status"]): BuildResult => ({
    status,
    errorMessage: "",
    builtOutputs: new Map(),
    timesBuilt: 0,
    isNonDeterministic: false,
    startTime: 0,
    stopTime: 0,
  });
  const drv = parseStorePath(`${"1".repeat(32)}-x.drv`);

  it("are found by name, whatever their order", () => {
    const targets = [
      { kind: "built", drvPath: drv, outputs: "*" },
      { kind: "opaque", path },
    ] as const;
    const answers = [
      { name: `/nix/store/${path}`, result: result("alreadyValid") },
      { name: `/nix/store/${drv}!*`, result: result("built") },
    ];
    const statuses = matchBuildResults(defaultStoreDir, targets, answers).map(
      ({ result: { status } }) => status,
    );
    expect(statuses).toEqual(["built", "alreadyValid"]);
    expect(() => matchBuildResults(defaultStoreDir, targets, [])).toThrow("does not say");
  });
});
