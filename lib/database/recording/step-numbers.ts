/**
 * Step numbers, given out in memory so that writers of one build do not wait for each other.
 *
 * The database stays the truth: a number that turns out to be taken is given up and the counter is raised above what
 * is there. A number reserved before a transaction also is the mark by which a repeated transaction finds its own row.
 */
import { BoundedMap } from "../../async/index.js";
import { prepared } from "../prepared.js";
import { integer, type SqlSession } from "./session.js";

const builds = 200_000;

const statement = prepared(
  "SELECT i.build, coalesce((SELECT max(stepnr) FROM buildsteps s WHERE s.build = i.build), 0) AS highest" +
    " FROM unnest($1::int[]) AS i(build)",
);

/** The highest step number of each build, remembered so that most rows are written without asking. */
export class StepNumbers {
  /** Highest number known for a build. */
  readonly #highest = new BoundedMap<number, number>({ capacity: builds });

  /** Reads the highest number of those builds of which none is known yet. */
  async load(session: SqlSession, ids: readonly number[]): Promise<void> {
    const unknown = [...new Set(ids)].filter((id) => !this.#highest.has(id));
    if (unknown.length > 0) await this.#read(session, unknown);
  }

  /** Other writers were there: takes up what the database has. */
  async reload(session: SqlSession, ids: readonly number[]): Promise<void> {
    await this.#read(session, [...new Set(ids)]);
  }

  /** The next number of the build; `load` must have been called for it. */
  next(build: number): number {
    const number = (this.#highest.get(build) ?? 0) + 1;
    this.#highest.set(build, number);
    return number;
  }

  /** The build is over. A later restart reads its numbers again. */
  forget(build: number): void {
    this.#highest.delete(build);
  }

  async #read(session: SqlSession, ids: readonly number[]): Promise<void> {
    const { rows } = await session.query(statement, [ids]);
    // Numbers may have been given out while the query ran, so a counter only ever goes up.
    for (const row of rows) {
      const build = integer(row, "build");
      this.#highest.set(build, Math.max(integer(row, "highest"), this.#highest.get(build) ?? 0));
    }
  }
}
