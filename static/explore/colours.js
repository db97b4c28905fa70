// The farm's palettes, near enough for small pictures that are drawn here.

const STOPS = {
  viridis: ["440154", "443983", "31688e", "21918c", "35b779", "90d743", "fde725"],
  magma: ["000004", "2c115f", "721f81", "b73779", "f1605d", "feb078", "fcfdbf"],
  inferno: ["000004", "320a5e", "781c6d", "bc3754", "ed6925", "fbb61a", "fcffa4"],
  plasma: ["0d0887", "5c01a6", "9c179e", "cc4778", "ed7953", "fdb42f", "f0f921"],
  cividis: ["00224e", "2a3f6d", "575d6d", "7d7c78", "a59c74", "d2c060", "fee838"],
  twilight: ["e2d9e2", "95b5c7", "6276ba", "592a8f", "2f1436", "741e4f", "b25652", "cca389", "e2d9e2"],
  turbo: ["30123b", "466be3", "28bceb", "32f298", "a4fc3c", "eecf3a", "fb7e21", "d02f05", "7a0403"],
};

const rgb = (hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16));

const tables = new Map();

/** 256 colours, three bytes each, from the first to the last of a smooth palette. */
function table(name) {
  if (!tables.has(name)) {
    const stops = (STOPS[name] ?? STOPS.twilight).map(rgb);
    const colours = Array.from({ length: 256 }, (_, n) => {
      const place = (n / 255) * (stops.length - 1);
      const at = Math.min(stops.length - 2, Math.floor(place));
      return stops[at].map((value, channel) => value + (stops[at + 1][channel] - value) * (place - at));
    });
    tables.set(name, colours);
  }
  return tables.get(name);
}

/** A function from a continuous escape count, Infinity for none, to red, green and blue. */
export function colouring(palette) {
  if (palette === "classic") {
    return (count) => {
      const n = Number.isFinite(count) ? Math.max(0, Math.floor(count)) : 31;
      return [(n % 8) * 32, (n % 16) * 16, (n % 32) * 8];
    };
  }
  const colours = table(palette);
  return (count) => {
    if (!Number.isFinite(count)) return [0, 0, 0];
    const rise = 1 - 1 / Math.sqrt(1 + Math.max(0, count - 2.5) / 8);
    return colours[Math.min(255, Math.floor(rise * 256 * 1.15))];
  };
}
