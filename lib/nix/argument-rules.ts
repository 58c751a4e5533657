/** What callers without a type checker may pass wrongly to the functions of this room: its values, as rules. */
import {
  type ArgumentRule,
  aText,
  checkArgument,
  checkMembers,
  isObject,
  someBytes,
} from "../argument-checks.js";
import type { BasicDerivation, Derivation } from "./derivation/derivation.js";

const isMap = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "get" in value && Symbol.iterator in value;
/** What can be looked up and gone through, as a `Map`. */
export const aMap: ArgumentRule = { words: "a Map", accepts: isMap };

/** A digest with its algorithm. */
export const aHash: ArgumentRule = {
  words: "a hash: what parseHash() or hashBytes() returns",
  accepts: (value) => isObject(value) && aText.accepts(value.algorithm) && someBytes.accepts(value.digest),
};

/** A content address of either kind. */
export const aContentAddress: ArgumentRule = {
  words: "a content address: what parseContentAddress() returns",
  accepts: (value) =>
    isObject(value) &&
    aText.accepts(value.method) &&
    (value.method === "foreign" ? aText.accepts(value.text) : aHash.accepts(value.hash)),
};

type Member = keyof BasicDerivation | keyof Derivation;

const isMember: Readonly<Record<Member, (value: unknown) => boolean>> = {
  name: aText.accepts,
  outputs: isMap,
  inputSources: Array.isArray,
  system: aText.accepts,
  builder: aText.accepts,
  args: Array.isArray,
  env: isMap,
  inputDerivations: isMap,
};
const basicMembers = ["name", "outputs", "inputSources", "system", "builder", "args", "env"] as const;

/** Those members that a function reads. @throws UsageError `<owner>: <name> must be a derivation …` */
export function checkDerivation(
  owner: string,
  name: string,
  value: unknown,
  members: readonly Member[] = [...basicMembers, "inputDerivations"],
): void {
  const accepts = (given: unknown): boolean =>
    isObject(given) && members.every((member) => isMember[member](given[member]));
  checkArgument(owner, name, value, { words: "a derivation: what parseDerivation() returns", accepts });
}

/** A derivation whose inputs are store paths. @throws UsageError */
export function checkBasicDerivation(owner: string, name: string, value: unknown): void {
  checkDerivation(owner, name, value, basicMembers);
}

/** The output that a realisation is about. @throws UsageError */
export function checkRealisationKey(owner: string, value: unknown): void {
  checkMembers(owner, value, { drvPath: aText, outputName: aText });
}
