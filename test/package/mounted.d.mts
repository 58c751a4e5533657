/** Types of `mounted.mjs`, which is JavaScript like the program of the page that it runs. */
import type { StatusSource, statusHandler } from "../../lib/status/index.js";

/** Addresses of the servers that the documented program mounts the status API in. */
export function mounted(
  handler: typeof statusHandler,
  runner: { readonly status: StatusSource },
): Promise<{ readonly fastify: string; readonly koa: string; close(): Promise<void> }>;
