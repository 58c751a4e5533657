// A throw-away PostgreSQL for one test file, with fresh databases that hold Hydra's schema.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import type { EmbeddedPostgres } from "../../lib/database/index.js";
import { schemaDatabase, startFromTemplate } from "./postgres-template.js";

export interface TestPostgres extends AsyncDisposable {
  /** The URL has the socket folder percent-encoded as host, as operators write it. */
  url(database: string): string;
  /** Makes a database with Hydra's schema and returns its URL. */
  createDatabase(): Promise<string>;
  /** Ends the server; the data stays. */
  stop(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

async function startTestPostgres(): Promise<TestPostgres> {
  const folder = await mkdtemp(join(tmpdir(), "hydra-pg-"));
  const open = (): Promise<EmbeddedPostgres> => startFromTemplate(folder, { maxConnections: 200 });
  let server: EmbeddedPostgres | undefined = await open();
  const address = server.url;
  const url = (database: string): string => address.replace(/\/[^/?]*($|\?)/, `/${database}$1`);
  let databases = 0;
  const close = async (): Promise<void> => {
    await server?.stop();
    server = undefined;
    await rm(folder, { recursive: true, force: true });
  };
  return {
    url,
    start: async () => {
      server ??= await open();
    },
    stop: async () => {
      await server?.stop();
      server = undefined;
    },
    close,
    createDatabase: async () => {
      const name = `hydra_${++databases}`;
      await withClient(address, (client) =>
        client.query(`create database ${name} template ${schemaDatabase}`),
      );
      return url(name);
    },
    [Symbol.asyncDispose]: close,
  };
}

async function withClient(url: string, work: (client: Client) => Promise<unknown>): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

let shared: Promise<TestPostgres> | undefined;

/** The server of this test file, started at the first call and stopped after the last test. */
export function testPostgres(): Promise<TestPostgres> {
  shared ??= startTestPostgres();
  return shared;
}

/** URL of a fresh database on the server of this test file. */
export async function testDatabase(): Promise<string> {
  return (await testPostgres()).createDatabase();
}

/** Ends the server of this test file; `test/support/end-of-file.ts` does. */
export async function closeTestPostgres(): Promise<void> {
  const started = shared;
  shared = undefined;
  await (await started)?.close();
}
