/* "Every explained example": words weighted by model and method side by side; filters, links, and the arrow keys. */
(function () {
  "use strict";

  const ui = trusteqControls(), calibration = trusteqCalibration(), home = ui.home("explorer");
  const tasks = trusteqData.explained.filter((of) => of.methods.some((method) => method.pairs.some(Boolean)));
  const { element, percent } = ui, ANY = "any", LINK = /^#explorer=([^/]*)\/(.+)$/;
  const BANDS = ["undefined", "no more than chance", "between chance and ceiling", "at the ceiling or above"];
  if (!tasks.length) {
    home.replaceChildren(element("p", {}, "This run does not compare the words of two models."));
    return;
  }

  const task = ui.select("Task", tasks.map((one) => one.title), () => { settle(); filter(); });
  const small = ui.select("Compressed model", [], () => { rename(); filter(); });
  const method = ui.select("Method", [], filter);
  const show = ui.select("Show", ["both models, every method", "every model, this method"], draw);
  const agreement = ui.select("Agreement", [ANY, ...BANDS.slice(1)], filter);
  const gold = ui.select("Gold label", [], filter), right = ui.select("Who is right", [], filter);
  const answers = ui.select("Answers", [ANY, "the same", "different: a flip"], filter);
  const example = ui.select("Example", [], () => { current = rows[example.value()]; moved(); });
  const filters = [agreement, gold, right, answers];
  const all = ui.button("Show all again", () => { clear(); filter(); });
  const step = (title, by, key) => ui.button(title, () => go(by), { "aria-keyshortcuts": key });
  const said = ui.said(), line = element("div"), link = element("a", { href: "#" }, "Link to this example");
  const [replies, numbers] = ["What the models answer", "The weights as a table"].map((title) => {
    const inside = element("div");
    return { inside, box: element("details", {}, element("summary", {}, title), inside) };
  });
  const texts = element("div"), card = element("div", { class: "tq-card", tabindex: 0, role: "group",
    "aria-label": "Example: arrow keys lead to the one before and the next" }, texts, replies.box, numbers.box);
  home.replaceChildren(
    element("div", { class: "tq-knobs tq-small" }, ...[task, small, method, show, ...filters].map((of) => of.row)),
    said, line, example.row,
    element("div", { class: "tq-buttons" }, step("Previous", -1, "ArrowLeft"), step("Next", 1, "ArrowRight"), all),
    card, link);

  let rows = [], current = 0, models = [], lost = "";  // rows: places of the examples that pass the filters

  /* The smaller models that are compared by their words, and the methods, of the task chosen. */
  function settle() {
    const now = tasks[task.value()];
    models = now.models.map((_, place) => place).filter((place) => now.methods.some((of) => of.pairs[place]));
    small.fill(models.map((place) => now.models[place].title));
    method.fill(now.methods.map((of) => of.name));
    gold.fill([ANY, ...now.labels]);
    current = 0;
    rename();
  }

  function rename() {
    const now = tasks[task.value()], kept = right.value();
    right.fill([ANY, "both", ...[0, models[small.value()]].map((of) => `only ${now.models[of].title}`), "neither"]);
    right.set(kept || 0);
  }

  const clear = () => filters.forEach((of) => of.set(0));
  const answer = (now, model, row) => calibration.predicted([ui.unpack(now.models[model], now.labels.length)[row]])[0];

  /* The number of the band that an example's Jaccard is in: its own chance comes before the pair's ceiling. */
  function band(pair, row) {
    if (!pair || !Number.isFinite(pair.jaccard[row])) return 0;
    return pair.jaccard[row] <= pair.chance[row] ? 1 : pair.jaccard[row] >= pair.ceiling ? 3 : 2;
  }

  /* Of an example what each filter asks for, as the number of its choice. */
  function codes(now, pair, model, row) {
    const [one, other] = [answer(now, 0, row), answer(now, model, row)], truth = now.gold[row];
    const who = one === truth ? (other === truth ? 1 : 2) : other === truth ? 3 : 4;
    return [band(pair, row), truth + 1, who, one === other ? 1 : 2];
  }

  function chosen() {
    const now = tasks[task.value()], model = models[small.value()], by = now.methods[method.value()];
    return { now, model, by, pair: by.pairs[model] };
  }

  function filter() {
    const { now, model, pair } = chosen(), wanted = filters.map((of) => of.value());
    rows = now.ids.map((_, row) => row).filter((row) =>
      codes(now, pair, model, row).every((code, at) => !wanted[at] || wanted[at] === code));
    lost = "";
    if (!rows.includes(current)) current = rows.length ? rows[0] : -1;
    const tell = (row) => (band(pair, row) ? `, Jaccard ${pair.jaccard[row].toFixed(2)}` : "");
    example.fill(rows.map((row) => `${now.ids[row]}${tell(row)}`));
    draw();
  }

  function go(by) {
    if (!rows.length) return;
    current = rows[(rows.indexOf(current) + by + rows.length) % rows.length];
    moved();
  }

  const address = ({ now }) => `#explorer=${[now.name, now.ids[current]].map(encodeURIComponent).join("/")}`;
  function moved() {
    lost = "";
    history.replaceState(null, "", address(chosen()));
    draw();
  }

  /* Show the example that the page's address names, if it names one; filters that hide it are cleared. */
  function follow() {
    const named = LINK.exec(location.hash);
    if (!named) return;
    const [name, id] = named.slice(1).map((part) => {
      try { return decodeURIComponent(part); } catch { return part; }
    });
    const place = tasks.findIndex((of) => of.name === name), row = place < 0 ? -1 : tasks[place].ids.indexOf(id);
    lost = row < 0 ? ` No example ${name}/${id} is here.` : "";
    if (lost) {
      draw();
      return;
    }
    if (place !== task.value()) {
      task.set(place);
      settle();
    }
    current = row;
    filter();
    if (current !== row) {
      current = row;
      clear();
      filter();
    }
    home.scrollIntoView();
  }

  function draw() {
    const { now, model, by, pair } = chosen(), many = now.ids.length, at = rows.indexOf(current);
    const unsaid = now.has_texts ? "" : " The texts stay with their data set: words are numbered.";
    const note = lost + ui.partOf(now) + unsaid;
    card.hidden = link.hidden = line.hidden = at < 0;
    if (at < 0) {
      said.textContent = `None of ${many} examples passes the filters.${note}`;
      return;
    }
    example.set(at);
    link.href = address({ now });
    const top = pair && Number.isFinite(pair.ceiling) ? `, ceiling of the pair ${pair.ceiling.toFixed(2)}` : "";
    const much = band(pair, current) ? `Jaccard ${pair.jaccard[current].toFixed(2)} by ${by.name}, ` +
      `${BANDS[band(pair, current)]} (chance ${pair.chance[current].toFixed(2)}${top})` : `not compared by ${by.name}`;
    said.textContent = `Example ${at + 1} of ${rows.length} that pass, of ${many}: ${much}.${note}`;
    line.hidden = !band(pair, current);
    if (!line.hidden) drawLine(pair, now.models[model].colour);
    const every = show.value() ? [by] : now.methods, [first, ...others] = now.models.map((_, place) => place);
    const sides = every.flatMap((of) => [first, ...(show.value() ? others : [model])].map((side) => ({ of, side })))
      .filter(({ of, side }) => of.weights[side]);
    texts.replaceChildren(element("h3", {}, `${now.ids[current]}: gold label ${now.labels[now.gold[current]]}`),
      element("div", { class: "tq-columns" }, ...sides.map((one) => column(now, one, model))));
    replies.inside.replaceChildren(answered(now));
    numbers.inside.replaceChildren(weighed(now, sides));
  }

  /* Each example that passes is a dot, the one that is shown a large one. */
  function drawLine(pair, colour) {
    const wide = ui.width(home), { place, axis } = ui.scale(0, 1, 14, wide - 14), chance = pair.chance[current];
    const isNear = Math.abs(place(chance) - place(pair.ceiling)) < 60;
    const mark = (value, title, y) => (Number.isFinite(value) ? [
      ui.svg("line", { class: "tq-mark", x1: place(value), x2: place(value), y1: 26, y2: 62 }),
      ui.svg("text", { x: Math.min(Math.max(place(value), 30), wide - 30), y, "text-anchor": "middle" }, title)] : []);
    const dot = (row, high) => ui.svg("circle", { cx: place(pair.jaccard[row]), fill: colour, ...high });
    const others = rows.filter((row) => row !== current && band(pair, row));
    line.replaceChildren(ui.picture(`Jaccard ${pair.jaccard[current].toFixed(2)} between chance and ceiling, among ` +
      `${rows.length} examples`, wide, 88, axis(62, [0, 0.2, 0.4, 0.6, 0.8, 1]), ...mark(chance, "chance", 22),
    ...mark(pair.ceiling, "ceiling", isNear ? 9 : 22),
    ...others.map((row) => dot(row, { cy: 32 + 5 * (row % 5), r: 4, "fill-opacity": 0.35 })),
    dot(current, { cy: 46, r: 8 })));
  }

  /* Of the example that is shown: its texts, and a method's weights of a model and its top words. */
  function explanation(now, of, side) {
    const lengths = now.texts.map((one) => one.reduce((sum, pieces) => sum + (pieces.length >> 1), 0));
    const start = lengths.slice(0, current).reduce((a, b) => a + b, 0);
    const weights = ui.floats(of.weights[side]).slice(start, start + lengths[current]);
    return { weights, top: of.tops[side][current] };
  }

  function column(now, { of, side }, model) {
    const { weights, top } = explanation(now, of, side), other = side ? 0 : model;
    const others = of.tops[other] ? of.tops[other][current] : null;
    const largest = Math.max(...weights.map((weight) => Math.abs(weight) || 0)) || 1;
    let place = 0;
    const shown = now.texts[current].map((pieces) => element("p", { class: "tq-text" },
      ...pieces.map((piece, at) => {
        if (at % 2 === 0) return piece;
        const isTop = top.includes(place), isShared = isTop && others !== null && others.includes(place);
        const word = ui.word(piece, weights[place++], largest, isTop);
        if (isShared) word.classList.add("tq-shared");
        return word;
      })));
    const { title, colour } = now.models[side], got = answer(now, side, current);
    const sure = ui.unpack(now.models[side], now.labels.length)[current][got];
    const shared = others && `Shares ${top.filter((one) => others.includes(one)).length} of ${top.length} top words ` +
      `with ${now.models[other].title}.`;
    return element("section", {}, element("h4", {}, `${title}, ${of.name}`),
      element("p", { class: "tq-answer", style: `border-color:${colour}` },
        `${now.labels[got]} ${percent(sure)}, ${got === now.gold[current] ? "right" : "wrong"}`),
      ...shown, element("p", {}, shared || ""));
  }

  const scrolling = (title, table) =>
    element("div", { class: "tq-scroll", tabindex: 0, role: "region", "aria-label": title }, table);

  function answered(now) {
    const title = "Each model's answer, and the probability it gives it and the gold label";
    const lines = now.models.map((one, model) => {
      const got = answer(now, model, current), sure = ui.unpack(one, now.labels.length)[current];
      return [one.title, now.labels[got], percent(sure[got]), percent(sure[now.gold[current]])];
    });
    return scrolling(title, ui.table(title, ["model", "answer", "probability", "of gold"], lines));
  }

  function weighed(now, sides) {
    const words = now.texts[current].flatMap((pieces) => pieces.filter((_, at) => at % 2));
    const found = sides.map(({ of, side }) => explanation(now, of, side));
    const signed = (weight) => weight.toFixed(4).replace(/^-(?=.*[1-9])/, "−").replace("-", "");
    const cell = (weight, isTop) => (Number.isNaN(weight) ? "–" : `${signed(weight)}${isTop ? "\u00a0top" : ""}`);
    const heads = ["word", ...sides.map(({ of, side }) => `${now.models[side].title}, ${of.name}`)];
    const title = `Weights for “${now.labels[now.gold[current]]}”`;
    return scrolling(title, ui.table(title, heads, words.map((word, place) =>
      [word, ...found.map(({ weights, top }) => cell(weights[place], top.includes(place)))])));
  }

  /* Arrow keys belong to a list of choices while it has the focus; the theme's own, to other pages, rest meanwhile. */
  home.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const isBusy = event.altKey || event.ctrlKey || event.metaKey || event.shiftKey;
    if (!by || isBusy || event.target.matches("select, .tq-scroll")) return;
    event.preventDefault();
    event.stopPropagation();
    go(by);
  });
  window.addEventListener("hashchange", follow);
  settle();
  agreement.set(home.dataset.agreement);
  ui.whenResized(home, draw);
  filter();
  follow();
})();
