// The farm's HTTP interface, one function an operation. Whatever goes wrong is thrown as ApiError.

const ROOT = "/v1/fractal";

export class ApiError extends Error {
  /**
   * `status` is 0 when the farm could not be reached; `field` names the value it refused, if one;
   * `locked`: it wants a token, or another one.
   */
  constructor(message, status, field, locked = false) {
    super(message);
    this.status = status;
    this.field = field;
    this.locked = locked;
  }
}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { Accept: "application/json", ...options.headers } });
  } catch {
    throw new ApiError("The farm cannot be reached.", 0);
  }
  if (response.status === 204) return null;
  // A proxy in between may answer with something that is no JSON.
  const body = await response.json().catch(() => null);
  if (!response.ok) {
    const locked = response.headers.has("WWW-Authenticate");
    throw new ApiError(body?.message ?? `The farm answered ${response.status}.`, response.status, body?.field, locked);
  }
  if (body === null) throw new ApiError("The farm's answer could not be read.", response.status);
  return body;
}

// Not for a first look; but its button to forget a token is soon there.
const keys = () => import("./token.js");
keys().catch(() => {});

/** A request that changes something: where the farm wants a token, the reader is asked for it. */
async function change(path, options) {
  const token = await keys().catch(() => {
    throw new ApiError("The farm cannot be reached.", 0);
  });
  for (;;) {
    const sent = token.current();
    const headers = sent ? { ...options.headers, Authorization: `Bearer ${sent}` } : options.headers;
    try {
      return await request(path, { ...options, headers });
    } catch (error) {
      if (!error.locked || !(await token.ask(sent, error.message))) throw error;
    }
  }
}

const at = (uuid) => `${ROOT}/${encodeURIComponent(uuid)}`;

export const imageOf = (uuid) => `/fractal/${encodeURIComponent(uuid)}`;

/** The picture made smaller, `side` pixels on its shorter side: 128, 256 or 512. */
export const thumbOf = (uuid, side) => `${imageOf(uuid)}?thumb=${side}`;

/**
 * One page of fractals in the given states, newest first (`ascending`: oldest first).
 *
 * `from` is the creation time to go on from. It is included, because several fractals may share it;
 * leave out the ones already known.
 */
export function list({ statuses, from, ascending = false, page = 1, size }) {
  const filters = [{ name: "status", op: "in", val: statuses }];
  if (from) {
    filters.push({
      or: [
        { name: "created_at", op: ascending ? "gt" : "lt", val: from },
        { name: "created_at", op: "eq", val: from },
      ],
    });
  }
  const order_by = [{ field: "created_at", direction: ascending ? "asc" : "desc" }];
  return search({ filters, order_by, page, size });
}

/** One page of what a search finds, in the farm's own words. */
export function search({ filters, order_by, page, size }) {
  const q = JSON.stringify({ filters, order_by });
  return request(`${ROOT}?${new URLSearchParams({ results_per_page: size, page, q })}`);
}

export const get = (uuid) => request(at(uuid));

/** Why a fractal waits. */
export const wait = (uuid) => request(`${at(uuid)}/wait`);

export const farm = () => request("/v1/farm");

const ANIMATIONS = "/v1/animations";

/** Where an animation is in one file, "png" or "zip". */
export const animationOf = (id, kind) => `${ANIMATIONS}/${encodeURIComponent(id)}.${kind}`;

/** The newest animations. */
export const animations = () => request(ANIMATIONS);

export const animation = (id) => request(`${ANIMATIONS}/${encodeURIComponent(id)}`);

export const animate = (draft) =>
  change(ANIMATIONS, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(draft),
  });

/** Deletes all its frames, whether or not they are done. */
export const removeAnimation = (id) => change(`${ANIMATIONS}/${encodeURIComponent(id)}`, { method: "DELETE" });

export const workers = () => request("/v1/workers");

export const create = (draft) =>
  change(ROOT, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(draft),
  });

export const remove = (uuid) => change(at(uuid), { method: "DELETE" });

export const retry = (uuid) => change(`${at(uuid)}/retry`, { method: "POST" });
