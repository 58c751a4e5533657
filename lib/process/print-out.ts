/** What a program answers on standard output. */
import { aText, checkArgument } from "../argument-checks.js";
import { isSystemError } from "../errors.js";

/**
 * Writes `text` to standard output. Resolves when its reader has all of it, however slow that is, or has had enough of it
 * (`program | head`).
 *
 * @throws the error of the system when it is a file that cannot be written
 */
export function printOut(text: string): Promise<void> {
  checkArgument("printOut", "text", text, aText);
  const { stdout } = process;
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => {
      if (isSystemError(error) && error.code === "EPIPE") resolve();
      else reject(error);
    };
    // It comes beside the answer to the write, and would end the program without a listener.
    stdout.once("error", failed);
    stdout.write(text, (error) => {
      if (error != null) {
        failed(error);
        return;
      }
      stdout.off("error", failed);
      resolve();
    });
  });
}
