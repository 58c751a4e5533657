// Certificates of one authority, made by openssl.
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { TlsIdentity } from "./grpc-proxy.js";

const openssl = (args: readonly string[]): Promise<unknown> => promisify(execFile)("openssl", [...args]);

/** Files `<name>.pem` and `<name>.key` in a folder, beside those of the authority, `ca`. All are valid for 127.0.0.1. */
export class Certificates {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async issue(folder: string, names: readonly string[]): Promise<Certificates> {
    const certificates = new Certificates(folder);
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    const files = (name: string, output: string): string[] => {
      const subject = ["-subj", `/CN=${name}`, "-days", "2"];
      return ["-keyout", certificates.key(name), "-out", output, ...subject];
    };
    await openssl(["req", "-x509", ...key, ...files("ca", certificates.certificate("ca"))]);
    const extensions = join(folder, "extensions");
    await writeFile(extensions, "subjectAltName=IP:127.0.0.1,DNS:runner.example\n");
    for (const [serial, name] of names.entries()) {
      const request = join(folder, `${name}.csr`);
      await openssl(["req", ...key, ...files(name, request)]);
      await openssl([
        ...["x509", "-req", "-in", request, "-out", certificates.certificate(name), "-days", "2"],
        ...["-CA", certificates.certificate("ca"), "-CAkey", certificates.key("ca")],
        ...["-set_serial", String(serial + 1), "-extfile", extensions],
      ]);
    }
    return certificates;
  }

  certificate(name: string): string {
    return join(this.#folder, `${name}.pem`);
  }

  key(name: string): string {
    return join(this.#folder, `${name}.key`);
  }

  async identity(name: string): Promise<TlsIdentity> {
    const [cert, key, ca] = await Promise.all(
      [this.certificate(name), this.key(name), this.certificate("ca")].map((path) => readFile(path, "utf8")),
    );
    if (cert === undefined || key === undefined || ca === undefined) throw new Error("three files were read");
    return { cert, key, ca };
  }

  /** Flags that make the runner serve with mutual TLS. */
  runnerFlags(name: string): string[] {
    return [
      ...["--server-cert-path", this.certificate(name), "--server-key-path", this.key(name)],
      ...["--client-ca-cert-path", this.certificate("ca")],
    ];
  }

  /** Flags of a builder. It insists on a domain name. */
  builderFlags(name: string): string[] {
    return [
      ...["--server-root-ca-cert-path", this.certificate("ca")],
      ...["--client-cert-path", this.certificate(name), "--client-key-path", this.key(name)],
      ...["--domain-name", "runner.example"],
    ];
  }
}
