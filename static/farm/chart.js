// A chart of the last hour, as SVG that is changed in place.

const NS = "http://www.w3.org/2000/svg";
const [HEIGHT, LEFT, BOTTOM] = [170, 44, 20]; // pixels, as are all lengths here

function shape(tag, attributes, parent) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  parent?.append(element);
  return element;
}

/** A round number no less than this, for the top of an axis. */
export function ceiling(most) {
  if (most <= 4) return 4;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 4, 5, 8, 10].map((n) => n * power).find((n) => n >= most);
}

const TIMES = [[1, "an hour ago", "start"], [0.5, "30 min", "middle"], [0, "now", "end"]];

export class Chart {
  #parent;
  #svg;
  #area;
  #line;
  #rules;
  #times;
  #name;
  #unit;

  /** `name` and `unit` are what those hear who do not see it: "Waiting", "fractals". */
  constructor(parent, name, unit) {
    this.#parent = parent;
    this.#name = name;
    this.#unit = unit;
    this.#svg = shape("svg", { role: "img", "aria-label": name });
    this.#rules = [0, 0.5, 1].map((share) => {
      const y = this.#y(share, 1);
      const rule = shape("line", { x1: LEFT, y1: y, y2: y, class: "rule" }, this.#svg);
      return [share, rule, shape("text", { x: LEFT - 8, y: y + 4, "text-anchor": "end" }, this.#svg)];
    });
    this.#times = TIMES.map(([hours, text, anchor]) => {
      const label = shape("text", { y: HEIGHT - 3, "text-anchor": anchor }, this.#svg);
      label.textContent = text;
      return [hours, label];
    });
    this.#area = shape("path", { class: "area" }, this.#svg);
    this.#line = shape("path", { class: "line" }, this.#svg);
    parent.append(this.#svg);
  }

  #y(value, top) {
    return 8 + (1 - value / top) * (HEIGHT - BOTTOM - 12);
  }

  /** `points` are pairs of an age in seconds, falling, and a value. */
  show(points) {
    const width = Math.max(LEFT + 100, this.#parent.clientWidth);
    this.#svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const x = (hours) => LEFT + (1 - Math.min(1, hours)) * (width - LEFT);
    const most = Math.max(0, ...points.map(([, value]) => value));
    const top = ceiling(most);
    for (const [share, rule, label] of this.#rules) {
      rule.setAttribute("x2", width);
      label.textContent = (share * top).toLocaleString("en");
    }
    for (const [hours, label] of this.#times) label.setAttribute("x", x(hours));
    const at = points.map(([age, value]) => `${x(age / 3600).toFixed(1)} ${this.#y(value, top).toFixed(1)}`);
    const floor = this.#y(0, top);
    this.#line.setAttribute("d", at.length ? `M${at.join("L")}` : "");
    this.#area.setAttribute("d", at.length ? `M${x(points[0][0] / 3600).toFixed(1)} ${floor}L${at.join("L")}V${floor}Z` : "");
    const last = points.at(-1)?.[1] ?? 0;
    const number = (n) => n.toLocaleString("en", { maximumFractionDigits: 1 });
    this.#svg.setAttribute("aria-label", `${this.#name} over the last hour: now ${number(last)} ${this.#unit}, ${number(most)} at most`);
  }
}
