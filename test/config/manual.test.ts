/** docs/configuration.md is made from the tables that check the files; this test makes it again and compares. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

import { builderSettings, queueRunnerSettings, settingsTable } from "../../lib/config/index.js";

const path = fileURLToPath(new URL("../../docs/configuration.md", import.meta.url));

const document = `# Configuration

<!-- Made from lib/config/*-settings.ts by test/config/manual.test.ts; regenerate with UPDATE_DOCS=1 npm run test:unit -- test/config/manual -->

Both programs read one TOML file (\`--config-path\`, default \`config.toml\` in the working folder). Keys are
case-sensitive. Unknown keys, values of another type and values out of range end the program with exit code 2 and one
line that names file and key. A file given by \`--config-path\` must exist; without it a missing file means the defaults.

⁺ marks keys that only this project has: the Rust programs refuse a file with them.

## Queue runner

\`SIGHUP\` reloads the file, all or nothing: if anything is wrong the old settings stay in force. The column *Live*
says whether a change takes effect on reload or after a restart; the log names the keys that need a restart.

${settingsTable(queueRunnerSettings, true)}
### Environment

| Variable | Meaning |
|---|---|
| \`HYDRA_DATABASE_URL\` | takes precedence over \`dbUrl\` |
| \`LOGNAME\` | user in the default of \`rootsDir\`; the user of the process when it is not set |
| \`NIX_REMOTE\`, \`NIX_STATE_DIR\` | where the Nix daemon is, and the state folder in the default of \`rootsDir\` |
| \`LOG_FORMAT\` | \`text\` (default) or \`json\`: one object per line |
| \`LOG_LEVEL\`, \`RUST_LOG\` | log filter: \`info\`, or with levels for rooms \`info,database=debug\` (\`queue_runner\`, \`journal\`, \`ingestion\`, \`attempt\`, \`outputs\`, \`recording\`, \`database\`, \`rpc\`, \`status\`; \`hydra_queue_runner\` for all); the first that is set is used; a \`LOG_LEVEL\` that is not a filter is an error. \`SIGUSR1\` raises all levels by one, \`SIGUSR2\` lowers them |
| \`LISTEN_FDS\`, \`LISTEN_FDNAMES\`, \`LISTEN_PID\`, \`LISTEN_FDS_FIRST_FD\` | inherited sockets, see operations.md |
| \`OTEL_EXPORTER_OTLP_ENDPOINT\` or \`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT\` | collector that gets traces of builds (OTLP over HTTP, for example \`http://localhost:4318\`); not set: nothing is traced, see operations.md |
| \`OTEL_SERVICE_NAME\`, \`OTEL_RESOURCE_ATTRIBUTES\`, \`OTEL_TRACES_SAMPLER\`, \`OTEL_TRACES_SAMPLER_ARG\`, \`OTEL_EXPORTER_OTLP_HEADERS\` and others | OpenTelemetry's own, see operations.md |
| \`NOTIFY_SOCKET\`, \`WATCHDOG_USEC\` | messages to the service manager |
| \`AWS_…\` | credentials of S3 |

## Builder

\`SIGHUP\` reloads the file, all or nothing. Settings that are sent to the runner reach it when the builder rejoins, see
operations.md.

${settingsTable(builderSettings, true)}
### Environment

| Variable | Meaning |
|---|---|
| \`NIX_REMOTE\` | where the Nix daemon is |
| \`PATH\` | must contain \`nix\`, which reports systems and features |
| \`LOG_FORMAT\` | \`text\` (default) or \`json\` |
| \`LOG_LEVEL\`, \`RUST_LOG\` | log filter |
| \`OTEL_EXPORTER_OTLP_ENDPOINT\` or \`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT\` | collector that gets traces of builds (OTLP over HTTP, for example \`http://localhost:4318\`); not set: nothing is traced, see operations.md |
| \`OTEL_SERVICE_NAME\`, \`OTEL_RESOURCE_ATTRIBUTES\`, \`OTEL_TRACES_SAMPLER\`, \`OTEL_TRACES_SAMPLER_ARG\`, \`OTEL_EXPORTER_OTLP_HEADERS\` and others | OpenTelemetry's own, see operations.md |
| \`NOTIFY_SOCKET\`, \`WATCHDOG_USEC\` | messages to the service manager |
`;

it("docs/configuration.md is fresh", () => {
  if (process.env.UPDATE_DOCS !== undefined) writeFileSync(path, document);
  expect(readFileSync(path, "utf8")).toBe(document);
});

it("no row breaks the table", () => {
  const rows = document.split("\n").filter((line) => line.startsWith("| `"));
  for (const row of rows) expect([3, 5, 6]).toContain(row.replaceAll("\\|", "").split("|").length - 1);
  for (const key of [...Object.keys(queueRunnerSettings), ...Object.keys(builderSettings)]) {
    expect(
      rows.some((row) => row.startsWith(`| \`${key}\``)),
      key,
    ).toBe(true);
  }
});
