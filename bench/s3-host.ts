/** An S3 server in a thread of its own, so that it takes no time of the thread that is measured. */
import { parentPort } from "node:worker_threads";
import { startS3Server } from "../test/support/s3-server/index.js";

/** What the thread says once it listens. */
export interface S3Host {
  readonly url: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

const server = await startS3Server({ buckets: ["cache"] });
const host: S3Host = { url: server.url, ...server.keys };
parentPort?.postMessage(host, []);
