/**
 * The only door to the AWS SDK. It takes a quarter of a second to load, so it is loaded by the first request, not by
 * the import of this library.
 */
import type * as Sdk from "@aws-sdk/client-s3";
import { MadeOnce, Silence } from "../../async/index.js";
import type { CacheSettings } from "../cache-uri.js";
import { isAnswer } from "./s3-errors.js";

/** Credentials of an S3 account. */
export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/** One request of type `I` that is answered with `O`. */
export type S3Command<I extends Sdk.ServiceInputTypes, O extends Sdk.ServiceOutputTypes> = Sdk.$Command<
  I,
  O,
  Sdk.S3ClientResolvedConfig,
  Sdk.ServiceInputTypes,
  Sdk.ServiceOutputTypes
>;

/** Makes a command once the SDK is loaded. */
export type MakeCommand<I extends Sdk.ServiceInputTypes, O extends Sdk.ServiceOutputTypes> = (
  sdk: typeof Sdk,
) => S3Command<I, O>;

interface OpenClient {
  readonly sdk: typeof Sdk;
  readonly client: Sdk.S3Client;
}

/** A connection on which nothing moves for so long is given up, in milliseconds. */
const defaultIdleMs = 60_000;
/** How often a request is made in all when an answer says that trying again may help. */
const maxTries = 5;
/** An answer to a small request that takes longer counts as silence, in milliseconds. */
const tolerateMs = 3_000;
/** Milliseconds that are tolerated for what the server does alone: copies, completing a multipart upload. */
const ownWorkMs = 60_000;
/** Bytes in a millisecond of the slowest network that is not called silent. */
const slowestRate = 100;

function toleranceOf(input: object): number {
  if ("CopySource" in input || "MultipartUpload" in input) return ownWorkMs;
  const body = "Body" in input ? input.Body : undefined;
  return tolerateMs + (body instanceof Uint8Array ? body.length / slowestRate : 0);
}

/** A client of one S3 server that is made when it is first used. */
export class S3Connection {
  readonly #settings: CacheSettings;
  readonly #credentials: S3Credentials | undefined;
  readonly #idleMs: number;
  /** Whether the server answers. */
  readonly silence = new Silence(tolerateMs);
  readonly #opened = new MadeOnce(() => this.#open());

  /**
   * `credentials`: instead of those of the environment and of the profile. `idleMs`: a request on whose connection
   * nothing moves for so many milliseconds fails; default one minute.
   */
  constructor(settings: CacheSettings, credentials: S3Credentials | undefined, idleMs = defaultIdleMs) {
    this.#idleMs = idleMs;
    this.#settings = settings;
    this.#credentials = credentials;
  }

  /** Sends the command that `make` returns. @throws what the SDK throws; see `s3Error` */
  async send<I extends Sdk.ServiceInputTypes, O extends Sdk.ServiceOutputTypes>(
    make: MakeCommand<I, O>,
    signal: AbortSignal | undefined,
  ): Promise<O> {
    const { sdk, client } = await this.#opened.get();
    const command = make(sdk);
    return this.silence.ask(() => client.send(command, signal === undefined ? {} : { abortSignal: signal }), {
      tolerateMs: toleranceOf(command.input),
      judge: (error) => (signal?.aborted === true ? "unknown" : isAnswer(error) ? "answered" : "silent"),
    });
  }

  /** A URL that performs the command that `make` returns, valid for `expiresIn` seconds. Only the host is signed. */
  async presign<I extends Sdk.ServiceInputTypes, O extends Sdk.ServiceOutputTypes>(
    make: MakeCommand<I, O>,
    expiresIn: number,
  ): Promise<string> {
    const { sdk, client } = await this.#opened.get();
    const { getSignedUrl } = await import("@aws-sdk/s3-request-presigner");
    return getSignedUrl(client, make(sdk), { expiresIn });
  }

  /** Closes idle sockets. */
  close(): void {
    void this.#opened.made?.then(
      ({ client }) => client.destroy(),
      () => undefined,
    );
  }

  async #open(): Promise<OpenClient> {
    const sdk = await import("@aws-sdk/client-s3");
    const config = clientConfig(this.#settings, this.#credentials, this.#idleMs);
    return { sdk, client: withoutVersionWarning(() => new sdk.S3Client(config)) };
  }
}

const warningSwitch = "AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED";

/**
 * The first client of a process warns on standard error about versions of Node that the SDK will drop; which versions
 * work is for this package to say. The switch is the SDK's documented one, and is not left behind for child processes.
 */
function withoutVersionWarning<T>(make: () => T): T {
  const before = process.env[warningSwitch];
  process.env[warningSwitch] = "true";
  try {
    return make();
  } finally {
    if (before === undefined) delete process.env[warningSwitch];
    else process.env[warningSwitch] = before;
  }
}

function clientConfig(
  settings: CacheSettings,
  credentials: S3Credentials | undefined,
  idleMs: number,
): Sdk.S3ClientConfig {
  // Credentials in the environment win over a profile.
  const fromEnvironment = process.env.AWS_ACCESS_KEY_ID !== undefined;
  return {
    region: settings.region,
    forcePathStyle: !settings.virtualHosts,
    ...(settings.endpoint === undefined
      ? settings.scheme === "http"
        ? { tls: false }
        : {}
      : { endpoint: settings.endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
    ...(settings.profile === undefined || fromEnvironment ? {} : { profile: settings.profile }),
    // Otherwise the checksum of an empty body becomes part of presigned URLs.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    retryStrategy: new RetriesOfAnswered(),
    requestHandler: { connectionTimeout: 5000, socketTimeout: idleMs },
  };
}

type RetryStrategy = Exclude<NonNullable<Sdk.S3ClientConfig["retryStrategy"]>, { retry: unknown }>;
type RetryToken = Awaited<ReturnType<RetryStrategy["acquireInitialRetryToken"]>>;
type RetryReason = Parameters<RetryStrategy["refreshRetryTokenForRetry"]>[1];

/**
 * Tries again what was answered with an error that may pass, and connections that broke. A server that was silent for the
 * whole idle time is not asked again here: four more times would hold the caller up for minutes, and those above know
 * better when to come back.
 */
class RetriesOfAnswered implements RetryStrategy {
  acquireInitialRetryToken(): Promise<RetryToken> {
    return Promise.resolve(retryToken(0, 0));
  }

  /** @throws Error when there is to be no other try; the library then throws what the last one threw */
  refreshRetryTokenForRetry(token: RetryToken, { error, errorType }: RetryReason): Promise<RetryToken> {
    const tries = token.getRetryCount() + 1;
    const isSilent = error instanceof Error && error.name === "TimeoutError";
    if (isSilent || tries >= maxTries || errorType === "CLIENT_ERROR") {
      return Promise.reject(new Error("the request is not retried"));
    }
    const first = errorType === "THROTTLING" ? 500 : 100;
    return Promise.resolve(retryToken(tries, Math.random() * Math.min(20_000, first * 2 ** (tries - 1))));
  }

  /** Nothing is learnt from it. */
  recordSuccess(): void {}
}

function retryToken(count: number, delayMs: number): RetryToken {
  return { getRetryCount: () => count, getRetryDelay: () => delayMs };
}
