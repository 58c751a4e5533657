/** Command line of the queue runner: its options, and what help and manual say about it. */
import { Command } from "commander";
import { type CommonFlags, withCommonOptions } from "./common-options.js";
import type { ProgramTexts } from "./program-texts.js";

/** Values of the queue runner's options. */
export interface QueueRunnerFlags extends CommonFlags {
  readonly restBind: string;
  readonly grpcBind: string;
  readonly serverCertPath?: string;
  readonly serverKeyPath?: string;
  readonly clientCaCertPath?: string;
  readonly disableQueueMonitorLoop?: boolean;
}

/** What help and manual say about the queue runner. */
export const queueRunnerTexts: ProgramTexts = {
  environment: [
    ["HYDRA_DATABASE_URL", "takes precedence over dbUrl of the file"],
    ["LOGNAME", "user in the default of rootsDir; the user of the process when it is not set"],
    ["NIX_REMOTE, NIX_STATE_DIR", "where the Nix daemon is, and the state folder in the default of rootsDir"],
    ["PATH", "flock and systemd-notify; nix for stores other than s3:// and file://"],
    ["LOG_LEVEL, RUST_LOG", "log filter: info, or with levels for rooms, info,database=debug"],
    ["LOG_FORMAT", "text (default), or json: one object per line"],
    ["LISTEN_FDS, LISTEN_FDNAMES", "inherited sockets, named rest and grpc"],
    ["OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_…", "where OpenTelemetry traces of builds go; not set: nowhere"],
    ["NOTIFY_SOCKET, WATCHDOG_USEC", "messages to the service manager"],
    ["AWS_…", "credentials of S3"],
  ],
  exitCodes: [
    ["0", "stopped by a signal, or asked only to print or check something"],
    ["1", "the owner lock of the database was lost, or a bug (printed with a stack)"],
    ["2", "one line on standard error: a wrong option, a setting that cannot be used, a start that failed"],
  ],
  signals: [
    ["SIGUSR1, SIGUSR2", "log more, log less"],
    [
      "SIGTERM, SIGINT",
      "drain: start no new steps, give running ones drainTimeoutInS, exit with 0; a second one exits at once",
    ],
    ["SIGHUP", "read settings, tokens and certificates again, all or nothing"],
  ],
  files: [
    ["/etc/hydra/queue-runner.toml", "configuration file of the units that come with the package"],
    ["<hydraDataDir>/build-logs/", "logs, where Hydra's front-end reads them"],
    ["<hydraDataDir>/queue-runner/lock", "lock file; the lock is flock(2), the file stays"],
    ["<hydraDataDir>/queue-runner/", "state of the upload queue"],
  ],
  configPage: "hydra-queue-runner.toml",
};

/** The queue runner's command line. */
export function queueRunnerCommand(): Command {
  const command = new Command("hydra-queue-runner")
    .description("Builds the jobs in Hydra's queue on the machines that have joined.")
    .option("-r, --rest-bind <address>", "status API: IP:port, or - for an inherited socket", "[::1]:8080")
    .option(
      "-g, --grpc-bind <address>",
      "gRPC for builders: IP:port, path of a Unix socket, or - for an inherited socket",
      "[::1]:50051",
    )
    .option("--server-cert-path <file>", "TLS certificate chain of this server (PEM)")
    .option("--server-key-path <file>", "private key for --server-cert-path (PEM)")
    .option("--client-ca-cert-path <file>", "CA certificate that client certificates must be signed by (PEM)")
    .option("--disable-queue-monitor-loop", "ingest builds only on request (POST /build_one, PUT /build)")
    .addHelpText("after", "\nhydra-queue-runner export-trace --help: what was built, as a trace for replays");
  return withCommonOptions(command, queueRunnerTexts);
}
