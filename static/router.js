// Which part of the page an address stands for, and how one gets from one to another without a load.

import * as filters from "./filters.js";

const ROUTES = [
  [/^\/view\/([^/]+)\/?$/, (uuid) => ({ uuid })],
  [/^\/index\/(\d+)\/?$/, (page, query) => ({ page: Math.max(1, Number(page)), filters: filters.parse(query) })],
];

export function parse(path, query) {
  for (const [pattern, route] of ROUTES) {
    const match = pattern.exec(path);
    if (match) return route(match[1], query);
  }
  return { page: 1, filters: filters.parse(query) };
}

const isOurs = (path) => path === "/" || /^\/(index|view)(\/|$)/.test(path);

/**
 * Calls `onroute(route, anew)` now, for each link that is followed, and for back and forward.
 * `anew`: the link does not lead back to the gallery as it was left, but to the newest.
 */
export function start(onroute) {
  history.scrollRestoration = "manual"; // the gallery knows where it was
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    // A click for another tab, a download or a place on this page is the browser's.
    if (!link || link.getAttribute("href").startsWith("#") || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    if (link.hasAttribute("download") || link.origin !== location.origin || !isOurs(link.pathname)) return;
    event.preventDefault();
    go(link.pathname + link.search, link.hasAttribute("data-top"));
  });
  const here = (anew) => onroute(parse(location.pathname, location.search), anew);
  window.addEventListener("popstate", () => here(false));

  function go(path, anew = false) {
    if (path !== location.pathname + location.search) history.pushState(null, "", path);
    here(anew);
  }
  here(false);
  return go;
}
