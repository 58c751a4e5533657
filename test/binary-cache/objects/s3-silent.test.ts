// A server that accepts and never answers costs one idle time, not one for each try; errors that may pass are tried again.
import { type AddressInfo, createServer, type Socket } from "node:net";
import { afterEach, expect, it } from "vitest";
import { parseCacheUri } from "../../../lib/binary-cache/cache-uri.js";
import { S3Connection } from "../../../lib/binary-cache/objects/s3-connection.js";
import { startS3Server } from "../../support/s3-server/index.js";

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

function connectionTo(uri: string, keys: { accessKeyId: string; secretAccessKey: string }): S3Connection {
  const { settings } = parseCacheUri(uri);
  const connection = new S3Connection(settings, keys, 400);
  ends.push(() => Promise.resolve(connection.close()));
  return connection;
}

it("gives up after one idle time", async () => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => void sockets.push(socket));
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  ends.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((done) => server.close(() => done()));
  });
  const { port } = server.address() as AddressInfo;
  const uri = `s3://bucket?endpoint=http://127.0.0.1:${port}&region=eu-west-1`;
  const connection = connectionTo(uri, { accessKeyId: "key", secretAccessKey: "secret" });
  await expect(
    connection.send((sdk) => new sdk.GetObjectCommand({ Bucket: "bucket", Key: "key" }), undefined),
  ).rejects.toMatchObject({ name: "TimeoutError" });
  expect(sockets).toHaveLength(1);
});

it("tries again what may pass, five times in all", async () => {
  const s3 = await startS3Server();
  ends.push(() => s3.close());
  const connection = connectionTo(s3.uri("cache"), s3.keys);
  const put = () =>
    connection.send((sdk) => new sdk.PutObjectCommand({ Bucket: "cache", Key: "x", Body: "x" }), undefined);
  let failures = 4;
  s3.fault = () => (failures-- > 0 ? { status: 503, code: "SlowDown" } : undefined);
  await put();
  expect(s3.requests).toHaveLength(5);
  s3.fault = () => ({ status: 500, code: "InternalError" });
  await expect(put()).rejects.toMatchObject({ name: "InternalError" });
  expect(s3.requests).toHaveLength(10);
  s3.fault = () => ({ status: 403, code: "AccessDenied" });
  await expect(put()).rejects.toMatchObject({ name: "AccessDenied" });
  expect(s3.requests).toHaveLength(11);
});
