// Which fractals come before and after one.

import { search } from "./api.js";

/** Takes them from the gallery where it has them; else, at its ends or without it, asks the farm. */
export async function neighbours({ uuid, created_at: from }, feed) {
  const at = feed.grid.indexOf(uuid);
  // In the gallery's order: several may have been created in the same millisecond.
  const ask = async (direction) => {
    const op = direction === "asc" ? "gt" : "lt";
    const [time, name] = [{ name: "created_at", op, val: from }, { name: "uuid", op, val: uuid }];
    const tied = { and: [{ name: "created_at", op: "eq", val: from }, name] };
    const filters = [{ name: "status", op: "in", val: ["done", "failed"] }, { or: [time, tied] }];
    const order_by = [{ field: "created_at", direction }, { field: "uuid", direction }];
    const { objects } = await search({ filters, order_by, page: 1, size: 1 });
    return objects[0]?.uuid;
  };
  const inGallery = (step) => (at < 0 ? undefined : feed.grid[at + step]);
  const [newer, older] = await Promise.all([inGallery(-1) ?? ask("asc"), inGallery(1) ?? ask("desc")]);
  return { newer, older };
}
