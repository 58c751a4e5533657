/** The calls that carry one message each way: conversions around the handlers, and how large each message may be. */
import { create, type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import type { StoreDir } from "../../nix/path/store-path.js";
import * as convert from "../convert/index.js";
import { StorePathSchema, StorePathsSchema } from "../gen/nix/store/v1/store_pb.js";
import * as wire from "../gen/runner/v1/streaming_pb.js";
import { maxMessageBytes } from "../stream/index.js";
import type { RunnerServiceHandlers } from "../types.js";
import { decode, storePathsOf } from "./decode.js";
import { smallMessageBytes } from "./message-budget.js";
import { readOneMessage, type ServerCall, sendMessage } from "./serve-call.js";

interface Method {
  /** Largest request. */
  readonly maxBytes: number;
  /** Takes and returns encoded messages. */
  readonly run: (request: Uint8Array, call: ServerCall) => Promise<Uint8Array>;
}

function method<I extends DescMessage, O extends DescMessage>(
  input: I,
  output: O,
  maxBytes: number,
  run: (message: MessageShape<I>, call: ServerCall) => Promise<MessageShape<O>>,
): Method {
  return {
    maxBytes,
    run: async (request, call) => toBinary(output, await run(await decode(input, request), call)),
  };
}

/** The calls by method name. */
export function unaryCalls(
  handlers: RunnerServiceHandlers,
  storeDir: StoreDir,
): ReadonlyMap<string, (call: ServerCall) => Promise<void>> {
  const empty = (): wire.Empty => create(wire.EmptySchema);
  // Large: lists of paths, products and metrics of builds, ETags of thousands of parts.
  const [small, large] = [smallMessageBytes, maxMessageBytes];
  const methods: Readonly<Record<string, Method>> = {
    CheckVersion: method(
      wire.VersionCheckRequestSchema,
      wire.VersionCheckResponseSchema,
      small,
      async ({ version, machineId, hostname, storeDir: theirs }, context) =>
        create(
          wire.VersionCheckResponseSchema,
          await handlers.checkVersion({ version, machineId, hostname, storeDir: theirs }, context),
        ),
    ),
    BuildStepUpdate: method(wire.StepUpdateSchema, wire.EmptySchema, small, async (message, context) => {
      await handlers.buildStepUpdate(convert.stepUpdateFromWire(message), context);
      return empty();
    }),
    CompleteBuild: method(wire.BuildResultInfoSchema, wire.EmptySchema, large, async (message, call) => {
      const completion = convert.completionFromWire(message);
      const cause = convert.failureCauseFromHeader(call.headers[convert.failureCauseHeader]);
      const ignoredLines = convert.ignoredLinesFromHeader(call.headers[convert.ignoredLinesHeader]);
      const traceparent = convert.traceparentOf(call.headers[convert.traceparentHeader]);
      const resources = convert.resourcesFromHeader(call.headers[convert.resourcesHeader]);
      await handlers.completeBuild(
        {
          ...completion,
          ...(cause === undefined ? {} : { cause }),
          ...(resources === undefined ? {} : { resources }),
          ...(ignoredLines === undefined ? {} : { ignoredLines }),
          ...(traceparent === undefined ? {} : { traceparent }),
        },
        call,
      );
      return empty();
    }),
    FetchRequisites: method(
      StorePathsSchema,
      wire.RequisitesResponseSchema,
      large,
      async (message, context) => {
        const paths = await storePathsOf(message.paths, "paths");
        const requisites = await handlers.fetchRequisites(paths, context);
        return create(wire.RequisitesResponseSchema, { requisites: requisites.map(convert.storePathToWire) });
      },
    ),
    HasPath: method(StorePathSchema, wire.HasPathResponseSchema, small, async (message, context) => {
      const hasPath = await handlers.hasPath(convert.storePathFromWire(message, "path"), context);
      return create(wire.HasPathResponseSchema, { hasPath });
    }),
    RequestPresignedUrl: method(
      wire.PresignedUrlRequestSchema,
      wire.PresignedUrlResponseSchema,
      large,
      async (message, context) =>
        convert.presignedNarsToWire(
          await handlers.requestPresignedUrls(convert.presignedRequestFromWire(message), context),
        ),
    ),
    RequestMultipartParts: method(
      wire.MultipartPartsRequestSchema,
      wire.MultipartPartsResponseSchema,
      small,
      async (message, context) => {
        const parts = await handlers.requestMultipartParts(convert.partsRequestFromWire(message), context);
        return create(wire.MultipartPartsResponseSchema, { parts: convert.partsToWire(parts) });
      },
    ),
    NotifyPresignedUploadComplete: method(
      wire.PresignedUploadCompleteSchema,
      wire.EmptySchema,
      large,
      async (message, context) => {
        await handlers.notifyPresignedUploadComplete(
          convert.uploadCompleteFromWire(storeDir, message),
          context,
        );
        return empty();
      },
    ),
  };
  return new Map(
    Object.entries(methods).map(([name, { maxBytes, run }]) => [
      name,
      async (call: ServerCall) => sendMessage(call, await run(await readOneMessage(call, maxBytes), call)),
    ]),
  );
}
