/** Whether the server answers, as cheaply as can be. */
import type { Client } from "pg";
import type { HydraDatabase } from "./hydra-database.js";

/** A query without tables on a connection of its own, which is made again when it breaks. */
export class DatabaseProbe {
  readonly #database: Pick<HydraDatabase, "connect">;
  #client: Client | undefined;

  constructor(database: Pick<HydraDatabase, "connect">) {
    this.#database = database;
  }

  /** @throws the driver's error when the server cannot be reached or does not answer */
  async ask(): Promise<void> {
    try {
      this.#client ??= await this.#database.connect("health");
      await this.#client.query("SELECT 1");
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Drops the connection without waiting for a server that may be silent. */
  close(): void {
    const client = this.#client;
    this.#client = undefined;
    void client?.end().catch(() => undefined);
  }
}
