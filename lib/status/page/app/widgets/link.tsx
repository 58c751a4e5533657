/** Links between views; the one place that knows their addresses. */
import type { ComponentChildren, JSX } from "preact";
import { hrefOf, pathOf } from "../data/address.js";
import { derivationName } from "../data/words.js";

interface LinkProps {
  readonly to: string;
  readonly children: ComponentChildren;
  readonly title?: string | undefined;
  readonly class?: string | undefined;
}

/** A link to a path below the page's root. */
export function Link({ to, children, ...rest }: LinkProps): JSX.Element {
  return (
    <a href={hrefOf(to)} {...rest}>
      {children}
    </a>
  );
}

/** Addresses of views. */
export const paths = {
  machine: (name: string): string => pathOf("machines", name),
  build: (id: number): string => pathOf("builds", id),
  step: (drv: string): string => pathOf("steps", drv),
  log: (drv: string, tryNumber: number): string => pathOf("steps", drv, "log", tryNumber),
  queue: (filters: Readonly<Record<string, string>>): string => `/queue?${new URLSearchParams(filters)}`,
} as const;

/** A step by its name; the derivation on hover. */
export function StepLink({ drv, name }: { readonly drv: string; readonly name?: string }): JSX.Element {
  return (
    <Link to={paths.step(drv)} title={drv}>
      {name ?? derivationName(drv)}
    </Link>
  );
}

/** A machine by its name. */
export function MachineLink({ name }: { readonly name: string }): JSX.Element {
  return <Link to={paths.machine(name)}>{name}</Link>;
}

/** A build by its number, or by its job. */
export function BuildLink({
  id,
  children,
}: {
  readonly id: number;
  readonly children?: ComponentChildren;
}): JSX.Element {
  return <Link to={paths.build(id)}>{children ?? `#${id}`}</Link>;
}
