/** What the runner says of its transactions: it must be what they did, and be said once. */

import type { BuildRow, SentNotification, Tables } from "../../../lib/testing/simulated/tables.js";
import { demand } from "../oracle.js";

/** How often a build was ended by the runner, and how often that was said. */
interface Announcements {
  ended: number;
  finishedSent: number;
}

export class AnnouncementWatch {
  readonly #tables: Tables;
  readonly #onEnded: (row: BuildRow) => void;
  readonly #builds = new Map<number, Announcements>();
  readonly #steps = new Map<string, number>();

  /** `onEnded` looks at each build that the runner has just ended. */
  constructor(tables: Tables, onEnded: (row: BuildRow) => void) {
    this.#tables = tables;
    this.#onEnded = onEnded;
  }

  /** What is said must be what happened, transaction by transaction. */
  committed(): void {
    const { complaint } = this.#tables;
    demand(complaint === undefined, "what is over stays as it is", () => complaint ?? "");
    for (const id of this.#tables.ended) this.#of(id).ended++;
    for (const message of this.#tables.sent) this.#checkMessage(message);
    for (const id of this.#tables.ended) {
      const { ended, finishedSent } = this.#of(id);
      demand(ended === finishedSent, "one build_finished per finish", () => `build ${id}`);
      const row = this.#tables.builds.get(id);
      if (row !== undefined) this.#onEnded(row);
    }
    if (this.#tables.ended.length > 0 || this.#tables.sent.length > 0) this.#tables.begin();
  }

  #of(id: number): Announcements {
    let counts = this.#builds.get(id);
    if (counts === undefined) {
      counts = { ended: 0, finishedSent: 0 };
      this.#builds.set(id, counts);
    }
    return counts;
  }

  #checkMessage({ channel, payload }: SentNotification): void {
    const fields = payload.split("\t");
    switch (channel) {
      case "build_finished":
        for (const id of fields.map(Number)) {
          const said = this.#of(id);
          said.finishedSent++;
          demand(
            said.finishedSent <= said.ended && this.#tables.builds.get(id)?.finished === true,
            "one build_finished per finish",
            () => `build ${id} was announced ${said.finishedSent} times and ended ${said.ended} times`,
          );
        }
        return;
      case "step_started":
      case "step_finished": {
        const key = `${fields[0]}/${fields[1]}`;
        const count = (this.#steps.get(`${channel} ${key}`) ?? 0) + 1;
        this.#steps.set(`${channel} ${key}`, count);
        const row = this.#tables.steps.get(key);
        const fits = channel === "step_started" ? row?.busy !== 0 : row?.busy === 0;
        demand(row !== undefined && fits && count === 1, `one ${channel} per step`, () => key);
        return;
      }
      default:
    }
  }
}
