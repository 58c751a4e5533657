// A PostgreSQL that is stopped in its tracks: the postmaster and all its processes, as by a hypervisor or a dead disk.
import { readdirSync, readFileSync } from "node:fs";
import type { Client } from "pg";

/** Everything that a process has started, itself first. */
function family(pid: number): number[] {
  const children = readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const [, rest = ""] = readFileSync(`/proc/${name}/stat`, "utf8").split(") ");
      return Number(rest.split(" ")[1]) === pid ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
  return [pid, ...children];
}

/** Stops the server that `admin` (a superuser) is connected to. Returns what lets it go on. */
export async function freezePostgres(admin: Client): Promise<() => void> {
  const { rows } = await admin.query<{ text: string }>("select pg_read_file('postmaster.pid') as text");
  const postmaster = Number(rows[0]?.text.split("\n")[0]);
  if (!Number.isSafeInteger(postmaster) || postmaster <= 1) throw new Error("no postmaster");
  process.kill(postmaster, "SIGSTOP");
  const stopped = family(postmaster);
  for (const pid of stopped) process.kill(pid, "SIGSTOP");
  return () => {
    // Some may have ended while they were stopped.
    for (const pid of stopped.splice(0).toReversed()) {
      try {
        process.kill(pid, "SIGCONT");
      } catch {}
    }
  };
}
