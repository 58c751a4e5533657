// Runs for each test file, while the modules that tests import are loaded once for all files of a worker.
import { afterAll } from "vitest";
import { closeTestPostgres } from "./test-database.js";

afterAll(closeTestPostgres);
