/** The builder's end: the connection, and the calls over it in domain types. */
export { type ClientTlsOptions, parseEndpoint } from "./endpoint.js";
export { connectRunner, RunnerClient, type RunnerClientOptions } from "./runner-client.js";
