/** The runner's end: listeners, connections, tokens, and the way from a call to its handler. */

export type { RpcCallRecord } from "./call.js";
export { cannotListen, type ListenerOptions, parseListenAddress } from "./listeners.js";
export { checkTls, RunnerServer, type RunnerServerOptions, type ServerTlsOptions } from "./runner-server.js";
export { TokenList } from "./tokens.js";
