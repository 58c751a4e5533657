/** Every migration, oldest first. Each runs in a transaction of its own and is never edited once released. */
import { hydraSchema } from "./0001-hydra-schema.js";

export interface Migration {
  /** Version of Hydra's schema after it. */
  readonly version: number;
  readonly sql: string;
}

export const migrations: readonly Migration[] = [{ version: 87, sql: hydraSchema }];
