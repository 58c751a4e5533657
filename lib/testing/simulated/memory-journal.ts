/** The upload journal of a simulated runner: in memory, which its process does not die with. Logs are left out: they are files. */
import type { JobJournal, UploadJob, UploadRequest } from "../../binary-cache/index.js";

/** Jobs by their ids. */
export class MemoryJournal implements JobJournal {
  readonly #jobs = new Map<string, UploadJob>();
  #made = 0;

  /** Jobs that are not done. */
  get size(): number {
    return this.#jobs.size;
  }

  async load(): Promise<UploadJob[]> {
    return [...this.#jobs.values()];
  }

  async add({ log: _log, ...request }: UploadRequest): Promise<UploadJob> {
    const id = String(++this.#made).padStart(12, "0");
    const job = { ...request, id, addedAt: Date.now() };
    this.#jobs.set(job.id, job);
    return job;
  }

  async remove({ id }: UploadJob): Promise<void> {
    this.#jobs.delete(id);
  }

  async close(): Promise<void> {}
}
