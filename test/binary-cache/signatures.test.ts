// Presigned URLs and completion requests against published examples.
import { describe, expect, it } from "vitest";
import { verify } from "../support/s3-server/sigv4.js";

const keys = {
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};

describe("signature check of the test server", () => {
  it("agrees with an independent implementation", () => {
    const query = new URLSearchParams({
      partNumber: "1",
      uploadId: "ab+cd/ef=gh",
      "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
      "X-Amz-Credential": `${keys.accessKeyId}/20260101/garage/s3/aws4_request`,
      "X-Amz-Date": "20260101T120000Z",
      "X-Amz-Expires": "3600",
      "X-Amz-SignedHeaders": "host",
      "X-Amz-Signature": "89963c8a03037e1b95101c1da53ab42266d2806f884594bc5dbd21d03cc546f4",
    });
    const request = {
      method: "PUT",
      rawPath: "/hydra-cache/nar/00zns3gj9hwz2a4b0i07y7nmxybq59lh24bl3xsxblcl6333mjil.nar.xz",
      query,
      headers: { host: "s3.test:3900" },
    };
    const noon = Date.UTC(2026, 0, 1, 12);
    expect(verify(request, keys, noon)).toMatchObject({ ok: true });
    expect(verify(request, keys, noon + 3_601_000)).toMatchObject({ ok: false, code: "AccessDenied" });
    expect(verify({ ...request, method: "GET" }, keys, noon)).toMatchObject({
      code: "SignatureDoesNotMatch",
    });
  });
});
