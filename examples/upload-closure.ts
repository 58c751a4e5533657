// Signs a store path with all that it needs and uploads it to a folder (or s3://…) that `nix copy --from` reads.
import { openStore } from "hydra-runner";
import { openBinaryCache } from "hydra-runner/binary-cache";
import { parseAnyStorePath } from "hydra-runner/nix";

const [path = "", cacheUri = "file:///tmp/cache?compression=zstd"] = process.argv.slice(2);
await using store = await openStore(process.env.NIX_REMOTE);
const closure = await store.closure([parseAnyStorePath(store.storeDir, path)]);
const cache = await openBinaryCache(cacheUri, { storeDir: store.storeDir });
const { uploaded } = await cache.uploadClosure(closure, (one) => store.narFromPath(one));
for (const one of closure) console.log(uploaded.includes(one.path) ? "uploaded" : "present ", one.path);
cache.close();
