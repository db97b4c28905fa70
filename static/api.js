// The farm's HTTP interface, one function an operation. Whatever goes wrong is thrown as ApiError.

const ROOT = "/v1/fractal";

export class ApiError extends Error {
  /** `status` is 0 when the farm could not be reached; `field` names the value it refused, if one. */
  constructor(message, status, field) {
    super(message);
    this.status = status;
    this.field = field;
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
    throw new ApiError(body?.message ?? `The farm answered ${response.status}.`, response.status, body?.field);
  }
  if (body === null) throw new ApiError("The farm's answer could not be read.", response.status);
  return body;
}

const at = (uuid) => `${ROOT}/${encodeURIComponent(uuid)}`;

export const imageOf = (uuid) => `/fractal/${encodeURIComponent(uuid)}`;

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
  const q = { filters, order_by: [{ field: "created_at", direction: ascending ? "asc" : "desc" }] };
  const query = new URLSearchParams({ results_per_page: size, page, q: JSON.stringify(q) });
  return request(`${ROOT}?${query}`);
}

export const get = (uuid) => request(at(uuid));

export const create = (draft) =>
  request(ROOT, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(draft),
  });

export const remove = (uuid) => request(at(uuid), { method: "DELETE" });

export const retry = (uuid) => request(`${at(uuid)}/retry`, { method: "POST" });
