/** Nominal types: a `Brand<string, "X">` is a string that only the room that owns `X` can make. */
declare const brand: unique symbol;
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };
