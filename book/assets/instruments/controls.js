/* What the instruments' pages share: elements whose texts are never read as HTML, knobs, and pictures as inline SVG. */
function trusteqControls() {
  "use strict";

  const SVG = "http://www.w3.org/2000/svg";
  // Counted for the whole page: each instrument loads and calls this for itself.
  const nextId = () => `tq-knob-${(window.trusteqKnobs = (window.trusteqKnobs || 0) + 1)}`;

  function filled(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== false && value !== null) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children);
    return node;
  }

  const element = (tag, attributes = {}, ...children) => filled(document.createElement(tag), attributes, children);
  const svg = (tag, attributes = {}, ...children) => filled(document.createElementNS(SVG, tag), attributes, children);
  const home = (name) => document.querySelector(`[data-instrument="${name}"]`);

  /* Knobs return {row, value()}; `change` is called when a reader has moved one. */
  function range(title, { min, max, step, value, show = String, change }) {
    const id = nextId(), shown = element("span", { class: "tq-value", "aria-hidden": "true" });
    const input = element("input", { id, type: "range", min, max, step, value });
    const tell = () => {
      shown.textContent = show(Number(input.value));
      input.setAttribute("aria-valuetext", shown.textContent);
    };
    input.addEventListener("input", () => { tell(); change(); });
    tell();
    const set = (attributes, to) => {
      filled(input, attributes, []);
      input.value = to;
      tell();
    };
    return { row: element("div", { class: "tq-knob" }, element("label", { for: id }, title, " ", shown), input),
      value: () => Number(input.value), set };
  }

  function select(title, options, change) {
    const id = nextId(), input = element("select", { id, onchange: change });
    const fill = (titles) => input.replaceChildren(...titles.map((of, value) => element("option", { value }, of)));
    fill(options);
    return { row: element("div", { class: "tq-knob" }, element("label", { for: id }, title), input),
      value: () => Number(input.value), fill, set: (to) => { input.value = to; } };
  }

  function text(title, value, change, attributes = {}) {
    const id = nextId(), tag = attributes.type ? "input" : "textarea";
    const given = { id, oninput: change, rows: tag === "textarea" && 2, spellcheck: "false", ...attributes };
    const input = element(tag, given);
    input.value = value;
    return { row: element("div", { class: "tq-knob" }, element("label", { for: id }, title), input),
      value: () => input.value, set: (to) => { input.value = to; } };
  }

  const button = (title, press, attributes = {}) =>
    element("button", { type: "button", class: "tq-button", onclick: press, ...attributes }, title);
  const isPressed = (of) => of.getAttribute("aria-pressed") === "true";
  function toggle(title, change) {
    return button(title, ({ currentTarget: of }) => {
      of.setAttribute("aria-pressed", !isPressed(of));
      change();
    }, { "aria-pressed": "false" });
  }
  const said = () => element("p", { class: "tq-said", role: "status", "aria-live": "polite" });

  /* A call that runs `wait` ms after the last of several, so that a knob that is dragged does not queue up work. */
  function later(wait, call) {
    let timer;
    return () => { clearTimeout(timer); timer = setTimeout(call, wait); };
  }

  /* Pictures as wide as their place, so that their letters keep their size; drawn again where that changes. */
  const width = (node) => Math.min(Math.max(node.clientWidth, 260), 640);
  function whenResized(node, draw) {
    let known = node.clientWidth;
    new ResizeObserver(() => {
      if (node.clientWidth !== known) { known = node.clientWidth; draw(); }
    }).observe(node);
  }

  function picture(title, wide, high, ...children) {
    return svg("svg", { viewBox: `0 0 ${wide} ${high}`, width: wide, height: high, role: "img", "aria-label": title,
      class: "tq-picture" }, ...children);
  }

  /* A horizontal scale: place(value), and its axis with ticks at y. */
  function scale(low, high, left, right) {
    const place = (value) => left + (Math.min(Math.max(value, low), high) - low) / (high - low) * (right - left);
    const axis = (y, ticks, show = String) => svg("g", { class: "tq-axis" },
      svg("line", { x1: left, x2: right, y1: y, y2: y }),
      ...ticks.flatMap((tick) => [svg("line", { x1: place(tick), x2: place(tick), y1: y, y2: y + 4 }),
        svg("text", { x: place(tick), y: y + 16, "text-anchor": "middle" }, show(tick))]));
    return { place, axis };
  }

  function table(caption, heads, rows) {
    const cell = (row) => (of, column) => element(row === null || column === 0 ? "th" : "td",
      { scope: row === null ? "col" : column === 0 ? "row" : null }, of);
    return element("table", { class: "tq-table" }, element("caption", {}, caption),
      element("thead", {}, element("tr", {}, ...heads.map(cell(null)))),
      element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map(cell(row))))));
  }

  /* Numbers from base64 of single precision, little-endian. */
  function floats(text) {
    const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0)), view = new DataView(bytes.buffer);
    return Array.from({ length: bytes.length / 4 }, (_, at) => view.getFloat32(4 * at, true));
  }

  /* A model's rows of probabilities, unpacked once. */
  function unpack(model, nClasses) {
    if (!model.rows) {
      const flat = floats(model.probabilities);
      model.rows = Array.from({ length: flat.length / nClasses }, (_, row) =>
        flat.slice(nClasses * row, nClasses * (row + 1)));
    }
    return model.rows;
  }

  /* A word in the colour of its weight, stronger towards the largest, framed as a top word; plain without a weight. */
  function word(text, weight, largest, isTop) {
    if (Number.isNaN(weight)) return element("span", {}, text);
    const paint = weight > 0 ? "58 110 220" : "235 130 20", share = (Math.abs(weight) / largest).toFixed(2);
    return element("span", { class: isTop ? "tq-word tq-top" : "tq-word", title: weight.toFixed(4),
      style: `--tq-paint:${paint};--tq-share:${share}` }, text);
  }

  /* Places of n of `size` rows in a random order that the draw decides, in the order of the rows. */
  function subset(size, n, draw) {
    const keys = Array.from({ length: size }, draw);
    return keys.map((_, place) => place).sort((a, b) => keys[a] - keys[b]).slice(0, n).sort((a, b) => a - b);
  }

  /* What a page does not hold is said. */
  const partOf = ({ n, gold }) => (n > gold.length ? ` The page holds the first ${gold.length} of ${n} examples.` : "");

  const percent = (value, digits = 1) => `${(100 * value).toFixed(digits)}%`;
  return { element, svg, home, range, select, text, button, said, later, width, whenResized, picture, scale, table,
    toggle, isPressed, floats, unpack, word, subset, partOf, percent };
}
