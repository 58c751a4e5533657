/** In whose names simulated builders call. */
import type { Principal } from "../../../lib/rpc/index.js";
import type { Principals } from "./runner-plan.js";

/** `number`: which builder it is. */
export function principalFor(kind: Principals, number: number): Principal {
  switch (kind) {
    case "one":
      return { kind: "unixPeer" };
    case "each":
      return { kind: "token", name: `builder${number}` };
    case "pairs":
      return { kind: "token", name: `builders${number % 2}` };
  }
}

/** May connect, and has not joined. */
export const stranger: Principal = { kind: "token", name: "stranger" };
