/** Nominal types: a `Brand<string, "X">` is a string that only the room that owns `X` can make. */
declare const brand: unique symbol;
/** A `T` that only the room that owns the name `Name` makes. */
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };
