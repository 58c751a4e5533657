/** 64-bit integers as numbers: sizes, counts and (in newer schemas) times are all far below 2^53. */
import pg, { type CustomTypesConfig } from "pg";

const int8 = 20;

function parseInt8(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`${text} is beyond the numbers we can hold`);
  return value;
}

/** Applies to one connection only; the driver's global settings belong to the application. */
export const numericTypes: CustomTypesConfig = {
  getTypeParser: (type, format) =>
    Number(type) === int8 && format !== "binary" ? parseInt8 : pg.types.getTypeParser(type, format),
};
