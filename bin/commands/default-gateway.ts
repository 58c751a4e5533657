/** A file of its own: who builds does not load the command line once more. */

/** Runner to join when no `--gateway-endpoint` is given. */
export const defaultGateway = "http://[::1]:50051";
