/** The address bar as state: which view, and its sorting and filters, so that a view can be sent to a colleague. */
import { createStore, useStore } from "./store.js";

/** Where the reader is: a path below the page's root, which begins with a slash, and the query. */
export interface Address {
  readonly path: string;
  readonly query: URLSearchParams;
}

/** The page's root. The document says where it lies relative to the view it was asked for. */
export const root = new URL(
  document.querySelector<HTMLMetaElement>('meta[name="page-root"]')?.content ?? "./",
  location.href,
);

function current(): Address {
  const { pathname, search } = location;
  return { path: `/${pathname.slice(root.pathname.length)}`, query: new URLSearchParams(search) };
}

const address = createStore<Address>(current());
addEventListener("popstate", () => address.set(current()));

/** The address; the component is drawn again when it changes. */
export function useAddress(): Address {
  return useStore(address);
}

/** The link to a path below the root, such as `/machines/mac-1`. */
export function hrefOf(path: string): string {
  return root.pathname + path.replace(/^\//, "");
}

/** The address of a view, such as `/steps/{drv}`, with each part encoded. */
export function pathOf(...parts: readonly (string | number)[]): string {
  return `/${parts.map((part) => encodeURIComponent(part)).join("/")}`;
}

/** Goes to a path below the root; `replace` leaves no entry in the history. */
export function navigate(path: string, how: "push" | "replace" = "push"): void {
  const href = hrefOf(path);
  if (how === "replace") history.replaceState(null, "", href);
  else history.pushState(null, "", href);
  address.set(current());
}

/** Changes members of the query and stays in the view; an empty value takes one away. */
export function changeQuery(members: Readonly<Record<string, string>>): void {
  const { path, query } = address.get();
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(members)) {
    if (value === "") next.delete(name);
    else next.set(name, value);
  }
  const text = next.toString();
  navigate(text === "" ? path : `${path}?${text}`, "replace");
}

/** Whether a link leads to a view of this page; others are left to the browser. */
function isView(link: HTMLAnchorElement): boolean {
  const { origin, pathname } = new URL(link.href);
  if (origin !== root.origin || !pathname.startsWith(root.pathname)) return false;
  return !/^(?:api|status|assets|metrics|health|openapi\.json)(?:\/|$)/.test(
    pathname.slice(root.pathname.length),
  );
}

/** Links between views do not load the page again. */
export function followLinks(): void {
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (link === null || link.target !== "" || link.hasAttribute("download") || !isView(link)) return;
    const { pathname, search, hash } = new URL(link.href);
    if (hash !== "" && pathname === location.pathname && search === location.search) return;
    event.preventDefault();
    navigate(`/${pathname.slice(root.pathname.length)}${search}${hash}`);
  });
}
