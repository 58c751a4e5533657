/** What the simulated farm is: its state and size, what everything in it is called, and numbers that look random. */

/** What the farm is like. */
export type FarmState = "idle" | "busy" | "broken" | "standby";

export const minute = 60_000;
export const hour = 60 * minute;
export const names = [
  "linux-6.12.9",
  "llvm-19.1.7",
  "qemu-9.2.0",
  "firefox-134.0",
  "gcc-14.2.0",
  "python3-3.12.8",
  "rustc-1.83.0",
  "glibc-2.40",
  "nixos-test-installer",
  "chromium-131.0",
  "ghc-9.8.4",
  "openssl-3.4.0",
  "systemd-257.2",
  "texlive-2024",
  "webkitgtk-2.46.5",
];
export const systems = ["x86_64-linux", "aarch64-linux", "aarch64-darwin"] as const;
export const jobsets = ["nixpkgs:trunk", "nixpkgs:staging", "nixos:release-24.11", "gnome:main"];

export function pick<T>(list: readonly T[], index: number): T {
  return list[index % list.length] as T;
}

/** A number from 0 to 1 that looks random. */
export function chance(seed: number): number {
  const value = Math.sin(seed * 12.9898) * 43758.5453;
  return value - Math.floor(value);
}

export function drvOf(index: number): string {
  const hash = (index + 1)
    .toString(32)
    .replaceAll(/[eotu]/g, "x")
    .padStart(32, "0");
  return `${hash}-${pick(names, index)}.drv`;
}

export function nameOf(index: number): string {
  return pick(names, index);
}

/** What a hostile jobset could set; nothing of it may become markup. */
export const hostileJob = `<img src=x onerror="document.title='owned'">`;

/** What answers are made from. */
export interface FarmFacts {
  readonly state: FarmState;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly machineCount: number;
  readonly stepCount: number;
  /** Names of machines that take no new steps. */
  readonly drained: ReadonlySet<string>;
}
