// Which part of the page an address stands for, and how one gets from one to another without a load.

const ROUTES = [
  [/^\/view\/([^/]+)\/?$/, (uuid) => ({ uuid })],
  [/^\/index\/(\d+)\/?$/, (page) => ({ page: Math.max(1, Number(page)) })],
];

export function parse(path) {
  for (const [pattern, route] of ROUTES) {
    const match = pattern.exec(path);
    if (match) return route(match[1]);
  }
  return { page: 1 };
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
    // A click for another tab or a download is the browser's.
    if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    if (link.hasAttribute("download") || link.origin !== location.origin || !isOurs(link.pathname)) return;
    event.preventDefault();
    go(link.pathname, link.hasAttribute("data-top"));
  });
  window.addEventListener("popstate", () => onroute(parse(location.pathname), false));

  function go(path, anew = false) {
    if (path !== location.pathname) history.pushState(null, "", path);
    onroute(parse(path), anew);
  }
  onroute(parse(location.pathname), false);
  return go;
}
