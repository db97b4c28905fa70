// What the gallery may be narrowed down to, and how that is said in an address and to the farm.

const SORTS = {
  "": ["created_at", "desc"],
  oldest: ["created_at", "asc"],
  slowest: ["duration", "desc"],
  largest: ["size", "desc"],
  finished: ["finished_at", "desc"],
};
const NAMES = ["uuid", "status", "width", "palette", "worker", "sort"];

/** From the query of an address: only what means something. */
export function parse(query) {
  const given = new URLSearchParams(query);
  const filters = {};
  for (const name of NAMES) {
    const value = given.get(name)?.trim();
    if (!value) continue;
    if (name === "sort" && !(value in SORTS)) continue;
    if (name === "width" && !/^\d{1,6}$/.test(value)) continue;
    filters[name] = value;
  }
  return filters;
}

/** The query of an address, with its question mark; nothing if there are none. */
export function format(filters) {
  const query = new URLSearchParams(NAMES.filter((name) => filters[name]).map((name) => [name, filters[name]]));
  return query.size ? `?${query}` : "";
}

export const count = (filters) => NAMES.filter((name) => filters[name]).length;

// The farm's pattern has signs of its own, and none that takes their meaning from them. So each stands
// for any one character: what is meant is found, and seldom anything else.
const containing = (text) => `%${text.replaceAll("%", "_")}%`;

/** As the farm searches. */
export function search({ uuid, status, width, palette, worker, sort }) {
  const filters = [];
  if (uuid) filters.push({ name: "uuid", op: "like", val: containing(uuid) });
  if (status) filters.push({ name: "status", op: "eq", val: status });
  if (width) filters.push({ name: "width", op: "ge", val: Number(width) });
  if (palette) filters.push({ name: "palette", op: "eq", val: palette });
  if (worker) filters.push({ name: "generated_by", op: "like", val: containing(worker) });
  const [field, direction] = SORTS[sort ?? ""];
  return { filters, order_by: [{ field, direction }] };
}
