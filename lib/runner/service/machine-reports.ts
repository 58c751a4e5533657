/** The connected builders as the status API shows them. */
import type { MachineReport } from "../../status/index.js";
import type { BuilderSession, BuilderSessions } from "../attempt/builder-sessions.js";
import type { AttemptRegistry } from "../state/attempts.js";
import type { RunnerCounters } from "../state/counters.js";
import type { RunningScheduler } from "../state/running-scheduler.js";

/** One report for each connected builder that the scheduler knows. */
export function machineReports(options: {
  readonly scheduler: RunningScheduler;
  readonly sessions: BuilderSessions;
  readonly attempts: AttemptRegistry;
  readonly counters: RunnerCounters;
}): MachineReport[] {
  const { scheduler, sessions, attempts, counters } = options;
  const reports: MachineReport[] = [];
  for (const session of sessions.all()) {
    const view = scheduler.machine(session.id);
    if (view === undefined) continue;
    reports.push({
      view,
      ...described(session),
      times: counters.timesOf(session.id),
      jobs: attempts.onMachine(session.id).map((attempt) => attempt.drv),
    });
  }
  return reports;
}

function described(session: BuilderSession): Omit<MachineReport, "view" | "times" | "jobs"> {
  const { join, lastPing } = session;
  return {
    totalMemoryBytes: join.totalMem,
    cgroups: join.cgroups,
    substituters: join.substituters,
    useSubstitutes: join.useSubstitutes,
    nixVersion: join.nixVersion,
    peer: session.peer,
    load1: lastPing?.load1 ?? 0,
    load5: lastPing?.load5 ?? 0,
    load15: lastPing?.load15 ?? 0,
    memoryUsedBytes: lastPing?.memUsage ?? 0,
    pressure: lastPing?.pressure,
    uploadingPaths: lastPing?.currentUploadingPathCount ?? 0,
    downloadingPaths: lastPing?.currentDownloadingPathCount ?? 0,
  };
}
