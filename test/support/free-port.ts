/**
 * Ports for programs that are told theirs. Between the choice and the program's start the port belongs to none, so it is
 * one that the system gives to none who asks for any port, and that no other process of tests chooses.
 */
import { createServer } from "node:net";

/** Below what Linux gives out (`net.ipv4.ip_local_port_range` begins at 32768 where it was not changed). */
const [firstPort, lastPort] = [10_000, 31_999];
const perProcess = 100;
const parts = Math.floor((lastPort - firstPort + 1) / perProcess);
/** Workers of a run have ids that lie close together. */
const ownPorts = firstPort + (process.pid % parts) * perProcess;
let next = 0;

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** One that this process has not chosen for long, and that nothing listens on. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < perProcess; tries++) {
    const port = ownPorts + (next++ % perProcess);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port from ${ownPorts} on`);
}
