// The test server, checked by the AWS SDK's own client: what it accepts and what it refuses.
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type S3Server, startS3Server } from "../../support/s3-server/index.js";

// This test makes a client of its own; what the SDK says of old versions of Node is not part of the results.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = "true";

let server: S3Server;
let client: S3Client;
const Bucket = "cache";

function clientWith(secretAccessKey: string): S3Client {
  return new S3Client({
    endpoint: server.url,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId: server.keys.accessKeyId, secretAccessKey },
    maxAttempts: 2,
  });
}

beforeAll(async () => {
  server = await startS3Server({ minimalPartSize: 10 });
  client = clientWith(server.keys.secretAccessKey);
});
afterAll(async () => {
  client.destroy();
  await server.close();
});

describe("the S3 test server", () => {
  it("keeps objects with their headers", async () => {
    const Key = "realisations/a b^out+=.doi";
    await client.send(
      new PutObjectCommand({ Bucket, Key, Body: "hello", ContentType: "text/plain", ContentEncoding: "br" }),
    );
    const head = await client.send(new HeadObjectCommand({ Bucket, Key }));
    expect(head).toMatchObject({ ContentLength: 5, ContentType: "text/plain", ContentEncoding: "br" });
    const got = await client.send(new GetObjectCommand({ Bucket, Key }));
    expect(await got.Body?.transformToString()).toBe("hello");
    const list = await client.send(new ListObjectsV2Command({ Bucket, Prefix: "realisations/" }));
    expect(list.Contents?.map((each) => each.Key)).toEqual([Key]);
    await client.send(new DeleteObjectCommand({ Bucket, Key }));
    await expect(client.send(new GetObjectCommand({ Bucket, Key }))).rejects.toMatchObject({
      name: "NoSuchKey",
    });
    await expect(client.send(new HeadObjectCommand({ Bucket, Key }))).rejects.toMatchObject({
      name: "NotFound",
    });
  });

  it("writes once when asked to", async () => {
    const put = () => client.send(new PutObjectCommand({ Bucket, Key: "once", Body: "1", IfNoneMatch: "*" }));
    await put();
    await expect(put()).rejects.toMatchObject({ name: "PreconditionFailed" });
  });

  it("joins parts, and forgets them when told to", async () => {
    const Key = "parts";
    const { UploadId } = await client.send(
      new CreateMultipartUploadCommand({ Bucket, Key, ContentType: "x/y" }),
    );
    const parts: { PartNumber: number; ETag: string | undefined }[] = [];
    for (const [index, Body] of ["0123456789", "abc"].entries()) {
      const PartNumber = index + 1;
      const { ETag } = await client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body }));
      parts.push({ PartNumber, ETag });
    }
    const complete = (Parts: typeof parts) =>
      client.send(
        new CompleteMultipartUploadCommand({
          Bucket,
          Key,
          UploadId,
          MultipartUpload: { Parts },
          IfNoneMatch: "*",
        }),
      );
    await expect(complete([...parts].reverse())).rejects.toMatchObject({ name: "InvalidPartOrder" });
    await complete(parts);
    const got = await client.send(new GetObjectCommand({ Bucket, Key }));
    expect(got.ContentType).toBe("x/y");
    expect(await got.Body?.transformToString()).toBe("0123456789abc");
    await expect(complete(parts)).rejects.toMatchObject({ name: "NoSuchUpload" });

    const other = await client.send(new CreateMultipartUploadCommand({ Bucket, Key: "other" }));
    const open = async () => (await client.send(new ListMultipartUploadsCommand({ Bucket }))).Uploads ?? [];
    expect(await open()).toMatchObject([{ Key: "other", UploadId: other.UploadId }]);
    await client.send(new AbortMultipartUploadCommand({ Bucket, Key: "other", UploadId: other.UploadId }));
    expect(await open()).toEqual([]);
  });

  it("refuses wrong secrets, and URLs that were changed or are too old", async () => {
    const wrong = clientWith("wrong");
    await expect(wrong.send(new PutObjectCommand({ Bucket, Key: "k", Body: "x" }))).rejects.toMatchObject({
      name: "SignatureDoesNotMatch",
    });
    wrong.destroy();
    const command = new PutObjectCommand({ Bucket, Key: "signed" });
    const put = async (url: string): Promise<number> =>
      (await fetch(url, { method: "PUT", body: "x" })).status;
    const url = await getSignedUrl(client, command, { expiresIn: 60 });
    expect(await put(url)).toBe(200);
    expect(await put(url.replace("/signed", "/other"))).toBe(403);
    expect(await put(url.replace("X-Amz-Expires=60", "X-Amz-Expires=61"))).toBe(403);
    const old = await getSignedUrl(client, command, {
      expiresIn: 60,
      signingDate: new Date(Date.now() - 61_000),
    });
    expect(await put(old)).toBe(403);
    expect(await put(`${server.url}/cache/unsigned`)).toBe(403);
  });

  it("fails on demand", async () => {
    let left = 1;
    server.fault = () => (left-- > 0 ? { status: 503, code: "SlowDown" } : undefined);
    await client.send(new PutObjectCommand({ Bucket, Key: "later", Body: "x" }));
    expect(server.requests.filter(({ key }) => key === "later")).toHaveLength(2);
    server.fault = undefined;
  });
});
