/** The status token, for actions: kept until the tab is closed, sent to this server only. */
const key = "hydra-runner-token";

/** Empty: none is known. */
export function rememberedToken(): string {
  try {
    return sessionStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

/** Keeps a token; an empty one takes it away. */
export function rememberToken(token: string): void {
  try {
    if (token === "") sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, token);
  } catch {
    // The browser keeps nothing for this page; the token is asked for each time.
  }
}
