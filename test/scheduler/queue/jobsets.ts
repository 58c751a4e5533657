/** Jobsets with nothing used, for tests of what is ordered by their shares. */
import { jobsetId } from "../../../lib/scheduler/index.js";
import { type Jobset, JobsetShares } from "../../../lib/scheduler/queue/jobset-shares.js";

export function jobsetsOf(
  count: number,
  sharesOf: (index: number) => number,
): { readonly shares: JobsetShares; readonly jobsets: readonly Jobset[] } {
  const shares = new JobsetShares((_, change) => change());
  const jobsets: Jobset[] = [];
  for (let index = 0; index < count; index++) {
    const id = jobsetId(index);
    shares.upsert({ id, project: "p", name: "j", shares: sharesOf(index) });
    const jobset = shares.get(id);
    if (jobset !== undefined) jobsets.push(jobset);
  }
  return { shares, jobsets };
}
