// Which fractals come before and after one.

import { list } from "./api.js";

/** Takes them from the gallery where it has them; else, at its ends or without it, asks the farm. */
export async function neighbours({ uuid, created_at: from }, feed) {
  const at = feed.grid.indexOf(uuid);
  const ask = async (ascending) => {
    const { objects } = await list({ statuses: ["done", "failed"], from, ascending, size: 2 });
    return objects.find((fractal) => fractal.uuid !== uuid)?.uuid;
  };
  const inGallery = (step) => (at < 0 ? undefined : feed.grid[at + step]);
  const [newer, older] = await Promise.all([inGallery(-1) ?? ask(true), inGallery(1) ?? ask(false)]);
  return { newer, older };
}
