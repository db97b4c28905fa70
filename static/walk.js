// The arrow keys lead from card to card, as they lie on the page.

/** `links()` are the cards' links in their order. */
export function walkable(grid, links) {
  grid.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const all = links();
    const at = all.indexOf(document.activeElement);
    if (at < 0) return;
    const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
    const to = {
      ArrowLeft: at - 1,
      ArrowRight: at + 1,
      ArrowUp: at - columns,
      ArrowDown: at + columns < all.length ? at + columns : all.length - 1,
      Home: 0,
      End: all.length - 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const link = all[Math.max(0, to)];
    if (to < 0 && event.key === "ArrowUp") return;
    link.focus({ preventScroll: true });
    link.scrollIntoView({ block: "nearest" });
  });
}
