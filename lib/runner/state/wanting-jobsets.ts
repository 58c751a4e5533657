/** Who wants a step, by the names under which the configuration speaks of jobsets. */
import type { SchedulerApi } from "../../scheduler/api.js";
import type { StepId } from "../../scheduler/ids.js";

/** `project:jobset` of all jobsets with builds above the step, or of the step itself. */
export function wantingJobsets(scheduler: SchedulerApi, step: StepId): string[] {
  return (scheduler.step(step)?.jobsets ?? []).flatMap((id) => {
    const jobset = scheduler.jobset(id);
    return jobset === undefined ? [] : [`${jobset.project}:${jobset.name}`];
  });
}
