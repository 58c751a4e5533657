/** What is wrong with the machines: pure, from what the scheduler shows. */
import type { MachineView, ReasonCounts } from "../../scheduler/views/views.js";
import type { Trouble } from "../state/problems.js";

/** What the scheduler shows at one moment. */
export interface MachineFacts {
  /** Unfinished builds. */
  readonly builds: number;
  /** Number of machines. */
  readonly machines: number;
  /** Those of them that are held. */
  readonly held: readonly Pick<MachineView, "info" | "disabledUntil" | "consecutiveFailures">[];
  /** Machines whose Nix daemon does not work, and why, in the words of their builders. */
  readonly storeTroubles: readonly { readonly hostname: string; readonly reason: string }[];
  readonly reasons: Pick<ReasonCounts, "unsupported">;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** All troubles of the moment. Without work to do, no machine is missed. */
export function machineTroubles({
  builds,
  machines,
  held,
  storeTroubles,
  reasons,
  now,
}: MachineFacts): readonly Trouble[] {
  const troubles: Trouble[] = held
    .filter(({ disabledUntil }) => disabledUntil > now)
    .map(({ info, disabledUntil, consecutiveFailures }) => ({
      code: "machine-held",
      subject: info.hostname,
      cause: `held until ${new Date(disabledUntil).toISOString()} after ${consecutiveFailures} failures in a row`,
    }));
  for (const { hostname, reason } of storeTroubles) {
    troubles.push({ code: "machine-store-silent", subject: hostname, cause: `nix-daemon: ${reason}` });
  }
  if (machines === 0 && builds > 0) {
    troubles.push({ code: "no-machines", cause: `${builds} builds are waiting, and no machine has joined` });
  } else if (reasons.unsupported > 0) {
    troubles.push({
      code: "steps-unsupported",
      cause: `no machine that has joined can take ${reasons.unsupported} steps`,
    });
  }
  return troubles;
}
