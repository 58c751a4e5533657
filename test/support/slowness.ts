// How much slower this machine is for us than when we have it to ourselves, for bounds that are promised in seconds.

/** At least 1: wall time of some work, divided by the processor time that it took. */
export function slowness(): number {
  const cpuMs = (): number => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  };
  const began = performance.now();
  const cpuBegan = cpuMs();
  while (cpuMs() - cpuBegan < 30);
  return Math.max(1, (performance.now() - began) / (cpuMs() - cpuBegan));
}
