/** Every migration, oldest first. Each runs in a transaction of its own and is never edited once released. */
import { hydraSchema } from "./0001-hydra-schema.js";

/** One step from an older schema to a newer one. */
export interface Migration {
  /** Version of Hydra's schema after it. */
  readonly version: number;
  readonly sql: string;
}

/** All migrations, oldest first. An empty database gets all of them. */
export const migrations: readonly Migration[] = [{ version: 87, sql: hydraSchema }];
