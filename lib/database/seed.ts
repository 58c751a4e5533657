/** What a database of our own needs before a build can be submitted: one project with one jobset. */
import { checkArgument, having } from "../argument-checks.js";
import type { Transaction } from "./session.js";

/** Does nothing when there is a jobset already. The jobset gets id 1 in a fresh database. */
export async function seedJobset(transaction: Transaction): Promise<void> {
  checkArgument(
    "seedJobset",
    "transaction",
    transaction,
    having("a transaction of HydraDatabase", ["query"]),
  );
  const { rows } = await transaction.query("SELECT 1 FROM jobsets LIMIT 1");
  if (rows.length > 0) return;
  await transaction.query(
    "INSERT INTO users (username, emailaddress, password) VALUES ('hydra', 'hydra@localhost', '!') ON CONFLICT DO NOTHING",
  );
  await transaction.query(
    "INSERT INTO projects (name, displayname, owner) VALUES ('default', 'Default', 'hydra') ON CONFLICT DO NOTHING",
  );
  // Not enabled: there is nothing that an evaluator could evaluate.
  await transaction.query(
    "INSERT INTO jobsets (project, name, nixexprinput, nixexprpath, emailoverride, enabled)" +
      " VALUES ('default', 'default', 'src', 'default.nix', '', 0)",
  );
}
