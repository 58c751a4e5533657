/** 64-bit integers as numbers: sizes, counts and (in newer schemas) times are all far below 2^53. */
import type { CustomTypesConfig } from "pg";
import { driver } from "./driver.js";

function parseInt8(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`${text} is too large to be represented exactly`);
  return value;
}

/** Applies to one connection only; the driver's global settings belong to the application. */
export const numericTypes: CustomTypesConfig = {
  getTypeParser: (type, format) => {
    const { types } = driver();
    return type === types.builtins.INT8 && format !== "binary"
      ? parseInt8
      : types.getTypeParser(type, format);
  },
};
