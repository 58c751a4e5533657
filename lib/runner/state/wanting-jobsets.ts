/** Which jobsets want a step, by the names that the configuration uses. */
import type { StepId } from "../../scheduler/ids.js";
import type { SchedulerView } from "./running-scheduler.js";

/** `project:jobset` of all jobsets with builds above the step, or of the step itself. */
export function wantingJobsets(scheduler: SchedulerView, step: StepId): string[] {
  return (scheduler.step(step)?.jobsets ?? []).flatMap((id) => {
    const jobset = scheduler.jobset(id);
    return jobset === undefined ? [] : [`${jobset.project}:${jobset.name}`];
  });
}
