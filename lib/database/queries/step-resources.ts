/** What attempts used, as far as the runner kept it: see `recording/step-resources.ts`. */
import type { StepResourcesRow } from "../recording/step-resources.js";
import type { Session } from "../session.js";

const statement = `
  SELECT r.build, r.stepnr AS "stepNumber", r.source, r.cpu_user_ms AS "cpuUserMs", r.cpu_system_ms AS "cpuSystemMs",
         r.peak_memory AS "peakMemory", r.read_bytes AS "readBytes", r.written_bytes AS "writtenBytes",
         r.output_bytes AS "outputBytes"
    FROM hydra_runner.step_resources r
    JOIN unnest($1::integer[], $2::integer[]) AS wanted (build, stepnr)
      ON wanted.build = r.build AND wanted.stepnr = r.stepnr`;

/** The rows of the attempts that have one. None while there is no such table. */
export async function stepResources(
  session: Session,
  steps: readonly { readonly build: number; readonly stepNumber: number }[],
): Promise<readonly StepResourcesRow[]> {
  if (steps.length === 0) return [];
  const { rows: found } = await session.query<{ exists: boolean }>(
    "SELECT to_regclass('hydra_runner.step_resources') IS NOT NULL AS exists",
  );
  if (found[0]?.exists !== true) return [];
  const { rows } = await session.query<StepResourcesRow>(statement, [
    steps.map(({ build }) => build),
    steps.map(({ stepNumber }) => stepNumber),
  ]);
  return rows;
}
