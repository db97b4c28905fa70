// Another chance for the frames of an animation that have failed.

import * as api from "../api.js";

const PAGE = 100;

export async function retryFailed(id) {
  // All of them first: one that fails again at once is not tried without end.
  for (const uuid of await failed(id)) {
    await api.retry(uuid).catch((error) => {
      // Somebody else was faster, or has deleted it.
      if (error.status !== 404 && error.status !== 409) throw error;
    });
  }
}

async function failed(id) {
  const filters = [
    { name: "uuid", op: "like", val: `${id.slice(0, 33)}%` },
    { name: "status", op: "eq", val: "failed" },
  ];
  const order_by = [{ field: "uuid", direction: "asc" }];
  const uuids = [];
  for (let page = 1, pages = 1; page <= pages; page++) {
    const answer = await api.search({ filters, order_by, page, size: PAGE });
    pages = answer.total_pages;
    uuids.push(...answer.objects.map(({ uuid }) => uuid));
  }
  return uuids;
}
