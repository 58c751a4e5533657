// The program of docs/library.md that mounts the status API in Fastify and in Koa, with servers around it.
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import createFastify from "fastify";
import Koa from "koa";

/** Runs the documented program, and gives both servers. */
export async function mounted(statusHandler, runner) {
  const page = await readFile(new URL("../../docs/library.md", import.meta.url), "utf8");
  const program = /^```js\n(const status = [\s\S]*?)^```$/m.exec(page)?.[1];
  if (program === undefined) throw new Error("docs/library.md has no such program");
  const fastify = createFastify();
  const koa = new Koa();
  const module = `export const mount = (statusHandler, runner, fastify, koa) => {${program}};`;
  const { mount } = await import(`data:text/javascript,${encodeURIComponent(module)}`);
  mount(statusHandler, runner, fastify, koa);
  fastify.get("/own", () => "own");
  koa.use((context) => {
    context.body = "own";
  });
  const server = createServer(koa.callback()).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    fastify: await fastify.listen({ host: "127.0.0.1", port: 0 }),
    koa: `http://127.0.0.1:${server.address().port}`,
    close: async () => {
      await fastify.close();
      server.closeAllConnections();
      server.close();
    },
  };
}
