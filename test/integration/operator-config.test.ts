// The configuration of a public Hydra, as it stands in its repository, with nothing changed but the places.
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { type S3Server, startS3Server } from "../support/s3-server.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";
