// What the uuid of an animation's frame tells. Pure functions.

/** `{ id, number, frames, fps }` of a fractal that is a frame, else null. */
export function frameOf(uuid) {
  const hex = (from, to) => parseInt(uuid.slice(from, to), 16);
  const [frames, fps, number] = [hex(15, 18), (hex(19, 23) >> 7) & 0x7f, hex(33, 36)];
  const ours = uuid[14] === "8" && "89ab".includes(uuid[19]);
  if (!ours || fps < 1 || fps > 100 || number < 1 || number > frames) return null;
  return { id: `${uuid.slice(0, 33)}000`, number, frames, fps };
}

/** Whether a text is an animation's id. */
export const isId = (text) => frameOf(`${text.slice(0, 33)}001`)?.id === text;
