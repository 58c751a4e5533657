/** From an address to a database that answers and has Hydra's tables. */
import { aFunction, aLogger, anAmount, aSignal, aText, checkMembers, optional } from "../argument-checks.js";
import { Backoff, withSignal } from "../async/index.js";
import { UsageError } from "../errors.js";
import { type Logger, silentLogger } from "../log.js";
import { type ConnectionSettings, connectionSettings } from "./connection-settings.js";
import { driver } from "./driver.js";
import { EmbeddedPostgres } from "./embedded/embedded-postgres.js";
import { DatabaseError } from "./errors.js";
import { failureCode, failureKind } from "./failure-kinds.js";
import { HydraDatabase } from "./hydra-database.js";
import { seedJobset } from "./seed.js";

/** Which database to open, and how long to wait for it. */
export interface OpenHydraDatabaseOptions {
  /** `postgres://…`, or `embedded:` for a server of our own. */
  readonly url: string;
  /** Hydra's data folder; an embedded server keeps its files in `postgres/` below it. */
  readonly dataDir: string;
  /** Upper bound of all connections we make; lowered to what the server can give. Default 128. */
  readonly maxConnections?: number | undefined;
  readonly logger?: Logger | undefined;
  /** Ends the waiting for a database that is down. */
  readonly signal?: AbortSignal | undefined;
  /** Called whenever a transaction or query is repeated. */
  readonly onRetry?: ((error: unknown) => void) | undefined;
}

/** The listener's and the owner lock's. */
const ownConnections = 2;

/** How long one look at the server may take before it counts as silent. */
const probeTimeoutMs = 4_000;

/** A database that nothing was asked of yet. */
export interface UnconnectedDatabase {
  readonly database: HydraDatabase;
  /**
   * Waits for as long as the database is down, and creates Hydra's tables in an empty one. Closes the database when it
   * fails.
   *
   * @throws as `openHydraDatabase`
   */
  readonly connect: () => Promise<void>;
}

/**
 * Connects, waiting for as long as the database is down, and creates Hydra's tables in an empty one.
 *
 * @throws UsageError when waiting cannot help: a malformed address, a refused password, a database that does not exist,
 *   a schema that is too old. DatabaseError `embedded` when our own server does not start.
 */
export async function openHydraDatabase(options: OpenHydraDatabaseOptions): Promise<HydraDatabase> {
  const prepared = await prepareHydraDatabase(options);
  await prepared.connect();
  return prepared.database;
}

/**
 * As `openHydraDatabase`, but does not wait for the server: others can be answered meanwhile. An embedded server is
 * started here.
 *
 * @throws UsageError for a malformed address, DatabaseError `embedded` when our own server does not start
 */
export async function prepareHydraDatabase(options: OpenHydraDatabaseOptions): Promise<UnconnectedDatabase> {
  checkMembers("openHydraDatabase", options, {
    url: aText,
    dataDir: aText,
    maxConnections: optional(anAmount),
    logger: optional(aLogger),
    signal: optional(aSignal),
    onRetry: optional(aFunction),
  });
  const { url, signal } = options;
  const logger = options.logger ?? silentLogger;
  const embedded = url.startsWith("embedded:")
    ? await EmbeddedPostgres.start({
        dataDir: options.dataDir,
        logger,
        ...(signal === undefined ? {} : { signal }),
      })
    : undefined;
  const wanted = options.maxConnections ?? 128;
  let settings: ConnectionSettings;
  let database: HydraDatabase;
  try {
    settings = connectionSettings(embedded?.url ?? url);
    database = new HydraDatabase({
      settings,
      maxConnections: Math.max(1, wanted - ownConnections),
      onRetry: options.onRetry,
      ...(embedded === undefined ? {} : { onClosed: () => embedded.stop() }),
    });
  } catch (error) {
    await embedded?.stop();
    throw error;
  }
  const connect = async (): Promise<void> => {
    try {
      await makeUsable(database, { settings, wanted, logger, signal });
      if (embedded !== undefined) await database.transaction(seedJobset);
    } catch (error) {
      await database.close();
      throw refusalAsUsageError(error, "");
    }
  };
  return { database, connect };
}

interface Waiting {
  readonly settings: ConnectionSettings;
  readonly wanted: number;
  readonly logger: Logger;
  readonly signal: AbortSignal | undefined;
}

/** A server that goes away while the tables are looked at is waited for like one that was down before. */
async function makeUsable(
  database: HydraDatabase,
  { settings, wanted, logger, signal }: Waiting,
): Promise<void> {
  const { migrate } = await import("./migrate.js");
  for (;;) {
    const limit = await waitForServer(settings, logger, signal);
    if (limit < wanted)
      logger.debug("the server allows fewer connections than configured", { wanted, limit });
    database.limitConnections(limit - ownConnections);
    try {
      await migrate(database, logger);
      return;
    } catch (error) {
      signal?.throwIfAborted();
      const lost = error instanceof DatabaseError ? error.code === "unavailable" : false;
      if (!lost && failureKind(error) !== "lost") throw error;
      logger.warn("the connection was lost while the schema was being checked", { error });
    }
  }
}

/** Resolves with the number of connections that we may use together. */
async function waitForServer(
  settings: ConnectionSettings,
  logger: Logger,
  signal: AbortSignal | undefined,
): Promise<number> {
  const backoff = new Backoff({ firstMs: 250, longestMs: 15_000 });
  let said = false;
  for (;;) {
    signal?.throwIfAborted();
    try {
      const looking = connectionLimit(settings);
      const limit = await (signal === undefined ? looking : withSignal(looking, signal));
      if (said) logger.info("the database answers now", { database: settings.description });
      return limit;
    } catch (error) {
      signal?.throwIfAborted();
      if (failureKind(error) !== "lost") throw refusalAsUsageError(error, settings.description);
      if (!said) {
        logger.warn("the database cannot be reached; waiting for it", {
          database: settings.description,
          error,
        });
      }
      said = true;
    }
    await backoff.wait(signal);
  }
}

/** Three quarters of what the server can give to ordinary users: Hydra's other programs need some, too. */
async function connectionLimit(settings: ConnectionSettings): Promise<number> {
  const { Client } = driver();
  const client = new Client({
    ...settings.config,
    connectionTimeoutMillis: probeTimeoutMs,
    query_timeout: probeTimeoutMs,
  });
  client.on("error", () => {});
  try {
    await client.connect();
    const { rows } = await client.query<{ free: number }>(
      `SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
              - coalesce(current_setting('reserved_connections', true)::int, 0) AS free`,
    );
    return Math.max(ownConnections + 1, Math.floor((rows[0]?.free ?? 20) * 0.75));
  } finally {
    void client.end().catch(() => {});
  }
}

const refusals: Readonly<Record<string, string>> = {
  "28P01": "it refuses our password",
  "28000": "it does not let this user in",
  "3D000": "the database does not exist",
  "42501": "this user lacks rights that the runner needs",
  EACCES: "this user may not use its socket",
  EPERM: "this user may not use its socket",
};

/** Settings that can never work end the start with one line; everything else stays what it is. */
function refusalAsUsageError(error: unknown, description: string): unknown {
  if (error instanceof UsageError || failureKind(error) !== "refused") return error;
  const reason = refusals[failureCode(error) ?? ""] ?? "it refuses us";
  return new UsageError(`the database ${description} cannot be used: ${reason}; check dbUrl`, {
    cause: error,
  });
}
