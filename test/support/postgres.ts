// A PostgreSQL for the tests of one file, with a fresh copy of Hydra's database for each test.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, type ClientConfig } from "pg";
import { connectionSettings, type EmbeddedPostgres } from "../../lib/database/index.js";
import { startFromTemplate } from "./postgres-template.js";

export interface TestPostgres extends AsyncDisposable {
  readonly server: EmbeddedPostgres;
  /** URL of a new database with Hydra's schema, one project and one jobset (id 1). */
  database(): Promise<string>;
  /** URL of a new database without any table. */
  emptyDatabase(): Promise<string>;
  /** A connection as superuser to the database of a URL; closed with the server. */
  client(url: string): Promise<Client>;
  close(): Promise<void>;
}

/** Use with `await using`, or close it in `afterAll`. Not durable, hence fast. */
export async function startPostgres(
  options: { readonly maxConnections?: number } = {},
): Promise<TestPostgres> {
  const dataDir = await mkdtemp(join(tmpdir(), "pg-"));
  const server = await startFromTemplate(dataDir, options);
  const template = connectionSettings(server.url);
  const clients: Client[] = [];
  const open = async (config: ClientConfig): Promise<Client> => {
    const client = new Client(config);
    // A server that is stopped under us is part of some tests.
    client.on("error", () => undefined);
    await client.connect();
    clients.push(client);
    return client;
  };
  let count = 0;
  const create = async (from: string): Promise<string> => {
    const name = `test_${++count}`;
    const admin = new Client({ ...template.config, database: "postgres" });
    await admin.connect();
    await admin.query(`create database ${name} template ${from}`);
    await admin.end();
    return server.url.replace(/[^/]*$/, name);
  };
  const close = async (): Promise<void> => {
    await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
    await server.stop();
    await rm(dataDir, { recursive: true, force: true });
  };
  return {
    server,
    database: () => create("hydra"),
    emptyDatabase: () => create("template0"),
    client: (url) => open(connectionSettings(url).config),
    close,
    [Symbol.asyncDispose]: close,
  };
}
