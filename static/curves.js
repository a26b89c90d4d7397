// A small chart of a figure that changes with every epoch, drawn at the size that it has.

const SVG = document.querySelector("svg").namespaceURI; // of the seal at the top: every page has it
const HEIGHT = 132;
const MARGIN = { top: 10, right: 6, bottom: 22, left: 38 };

/** One chart under `host`. Lines are `{ name, className, values }`, a value for each epoch, null where there is none;
 *  the axis goes from 0 to `top(values)`, and `label(value)` writes what stands beside
 *  it, `first()` what stands below the first epoch. */
export class Curves {
  constructor(host, { top, label, first }) {
    Object.assign(this, { top, label, first, lines: [], breaks: [], caption: "" });
    this.svg = element("svg", { class: "chart", role: "img" });
    host.append(this.svg);
    new ResizeObserver(() => this.draw()).observe(host);
  }

  /** Show `lines`; `breaks` are the epochs at which another stage begins, `caption` says it all in words. */
  show(lines, breaks, caption) {
    Object.assign(this, { lines, breaks, caption });
    this.draw();
  }

  draw() {
    const count = Math.max(0, ...this.lines.map((line) => line.values.length));
    const width = this.svg.parentElement.clientWidth;
    if (count === 0 || width === 0) return;
    const top = this.top(this.lines.flatMap((line) => line.values).filter((value) => value !== null));
    const right = width - MARGIN.right;
    const bottom = HEIGHT - MARGIN.bottom;
    const x = (index) => MARGIN.left + ((right - MARGIN.left) * index) / Math.max(1, count - 1);
    const y = (value) => bottom - ((bottom - MARGIN.top) * Math.min(value, top)) / top;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.svg.setAttribute("aria-label", this.caption);
    this.svg.replaceChildren(
      ...this.axes(top, count, x, y),
      ...this.breaks.filter((at) => at > 0).map((at) => rule(x(at - 0.5), MARGIN.top, x(at - 0.5), bottom, "curve-break")),
      ...this.lines.flatMap((line) => drawn(line, x, y)),
    );
  }

  axes(top, count, x, y) {
    const marks = [0, top / 2, top];
    const first = written(this.first(), x(0), HEIGHT - 6, "start");
    const last = count > 1 ? [written(String(count), x(count - 1), HEIGHT - 6, "end")] : [];
    return [
      ...marks.map((mark) => rule(x(0), y(mark), Math.max(x(count - 1), x(1)), y(mark), "chart-axis")),
      ...marks.map((mark) => written(this.label(mark), MARGIN.left - 6, y(mark) + 4, "end")),
      first,
      ...last,
    ];
  }
}

/** A line, broken where a value is missing, with a dot at its end. */
function drawn({ values, className }, x, y) {
  let path = "";
  let last = null;
  values.forEach((value, index) => {
    if (value === null) return;
    const goesOn = index > 0 && values[index - 1] !== null;
    path += `${goesOn ? "L" : "M"}${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
    last = index;
  });
  if (last === null) return [];
  const dot = element("circle", { class: `curve-dot ${className}`, r: 3, cx: x(last), cy: y(values[last]) });
  return [element("path", { class: `chart-line ${className}`, d: path }), dot];
}

function rule(x1, y1, x2, y2, className) {
  return element("line", { class: className, x1, y1, x2, y2 });
}

function written(text, x, y, anchor) {
  const node = element("text", { x, y, "text-anchor": anchor });
  node.textContent = text;
  return node;
}

function element(name, attributes) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}
