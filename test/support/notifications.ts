// Records every notification that Hydra's programs send to each other.
import { Client } from "pg";
import { until } from "./until.js";

/** All channels of Hydra's evaluator, front-end and runner. */
const hydraChannels = [
  "builds_added",
  "builds_restarted",
  "builds_cancelled",
  "builds_deleted",
  "builds_bumped",
  "jobset_shares_changed",
  "build_queued",
  "build_started",
  "build_finished",
  "step_started",
  "step_finished",
  "cached_build_queued",
  "cached_build_finished",
] as const;

export interface Notification {
  readonly channel: string;
  readonly payload: string;
}

export class NotificationRecorder implements AsyncDisposable {
  readonly #client: Client;
  readonly #heard: Notification[] = [];

  private constructor(client: Client) {
    this.#client = client;
  }

  /** Everything sent after this has resolved is heard. */
  static async connect(url: string): Promise<NotificationRecorder> {
    const client = new Client({ connectionString: url });
    client.on("error", () => undefined);
    await client.connect();
    const recorder = new NotificationRecorder(client);
    client.on("notification", ({ channel, payload }) => {
      recorder.#heard.push({ channel, payload: payload ?? "" });
    });
    for (const channel of hydraChannels) await client.query(`listen ${channel}`);
    return recorder;
  }

  get all(): readonly Notification[] {
    return this.#heard;
  }

  /** What the runner sent about these builds, in order. `build_finished` counts when its first id is one of them. */
  of(ids: readonly number[]): readonly Notification[] {
    const wanted = new Set(ids.map(String));
    return this.#heard.filter(
      ({ channel, payload }) =>
        /^(build|step)_(started|finished)$/.test(channel) && wanted.has(payload.split("\t")[0] ?? ""),
    );
  }

  /** Waits until everything that was committed so far has been heard: the server delivers in order of commit. */
  async settle(): Promise<void> {
    const mark = `mark-${process.hrtime.bigint()}`;
    await this.#client.query("select pg_notify('build_queued', $1)", [mark]);
    await until("the own notification", () => this.#heard.some(({ payload }) => payload === mark), {
      everyMs: 5,
    });
  }

  async close(): Promise<void> {
    await this.#client.end();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
