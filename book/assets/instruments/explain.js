/* "Explain it yourself": two models and LIME, alive on the page. */
(function () {
  "use strict";

  const ui = trusteqControls(), lime = trusteqLime(), home = ui.home("explain"), { models, pairs } = trusteqData;
  const K = 10, WORD = /([\p{L}\p{N}_]+)/u;
  if (!models) {
    home.replaceChildren(ui.element("p", { class: "tq-none" }, "This book shows results without the models that made " +
      "them, or models too large for a page: build it from a run of the demo, and two models run here."));
    return;
  }

  /* Runs in a Worker: its source is put together from the scripts of the page, since file:// lets none be fetched. */
  function answer(loaded, job) {
    const of = trusteqLime(), model = loaded[job.model];
    const masks = of.perturbations(of.words(job.texts).length, job.samples, of.random(job.seed, job.model, job.again));
    return of.explain(model.predict, job.texts, masks);
  }
  const listen = `let loaded; onmessage = ({ data }) => {
    if (data.models) loaded = data.models.map(trusteqBert().load); else postMessage(answer(loaded, data)); };`;
  const source = new Blob([[trusteqBert, trusteqLime, answer, listen].join("\n")], { type: "text/javascript" });
  const readers = models.map(trusteqBert().load);
  let worker = null, waiting = Promise.resolve();
  try {
    worker = new Worker(URL.createObjectURL(source));
    worker.postMessage({ models });
  } catch {
    // Some browsers grant a page from file:// no Worker: it then computes itself, and cannot be used meanwhile.
  }

  function ask(job) {
    waiting = waiting.then(() => new Promise((resolve) => {
      if (!worker) return setTimeout(() => resolve(answer(readers, job)));
      worker.onmessage = ({ data }) => resolve(data);
      worker.postMessage(job);
    }));
    return waiting;
  }

  const start = ui.later(150, run);
  const choice = ui.select("Choose a pair", pairs.map((texts) => texts.join(" | ")), () => {
    sides.forEach((side, place) => side.set(pairs[choice.value()][place]));
    start();
  });
  const sides = ["First text", "Second text"].map((title, place) => ui.text(title, pairs[0][place], start));
  const samples = ui.range("Texts that LIME draws", { min: 50, max: 1000, step: 50, value: home.dataset.samples,
    change: start });
  const seed = ui.text("Seed", home.dataset.seed, start, { type: "number", min: 0, max: 999999, step: 1 });
  const another = ui.button("Another seed", () => { seed.set(Number(seed.value()) + 1); start(); });
  const same = ui.toggle("Same model, another seed", draw);
  const said = ui.said(), line = ui.element("div"), columns = ui.element("div", { class: "tq-columns" });
  home.replaceChildren(choice.row, ...sides.map((side) => side.row),
    ui.element("div", { class: "tq-knobs" }, samples.row, seed.row),
    ui.element("div", { class: "tq-buttons" }, another, same), said, line, columns);

  let round = 0, found = {}, tried = [], about = "", texts = [];
  const isSame = () => ui.isPressed(same);
  const label = () => found["0,0"].probabilities.indexOf(Math.max(...found["0,0"].probabilities));
  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
  const overlap = (tops, one, other) => (tops[one] && tops[other] ? [lime.jaccard(tops[one], tops[other])] : []);

  /* Both models once, and each once more under another seed of its own, for the ceiling. A newer question ends this. */
  async function run() {
    const mine = ++round, now = sides.map((side) => side.value()), n = lime.words(now).length;
    const isCut = readers.some((reader) => reader.encode(...now).isCut);
    if (!n || isCut) {
      said.textContent = n ? "The pair is longer than these models read: shorten it." : "Type a word.";
      return;
    }
    home.setAttribute("aria-busy", "true");
    const question = JSON.stringify([now, samples.value()]), fresh = {}, tops = {};
    for (const [model, again] of isSame() ? [[0, 0], [0, 1], [1, 0], [1, 1]] : [[0, 0], [1, 0], [0, 1], [1, 1]]) {
      const job = { model, again, texts: now, samples: samples.value(), seed: Number(seed.value()) };
      fresh[[model, again]] = await ask(job);
      if (mine !== round) return;
      if (Object.keys(fresh).length < 2) continue;
      if (question !== about) { tried = []; about = question; }
      if (found !== fresh) { [found, texts] = [fresh, now]; tried.push(tops); }
      for (const key of Object.keys(found)) tops[key] = lime.topFeatures(found[key].weights, label(), K);
      draw();
    }
    home.removeAttribute("aria-busy");
  }

  function draw() {
    const keys = isSame() ? ["0,0", "0,1"] : ["0,0", "1,0"], shown = keys.map((key) => found[key]);
    if (!shown[0] || !shown[1]) return;
    const titles = isSame() ? [models[0].title, `${models[0].title}, another seed`] : models.map((one) => one.title);
    const paint = isSame() ? [models[0].colour, models[0].colour] : models.map((one) => one.colour);
    const now = tried[tried.length - 1], tops = keys.map((key) => now[key]);
    const values = tried.flatMap((one) => overlap(one, ...keys)), last = values[values.length - 1];
    const both = tried.map((one) => [...overlap(one, "0,0", "0,1"), ...overlap(one, "1,0", "1,1")]);
    const itself = both.filter((of) => of.length > 1);
    const chance = lime.chanceJaccard(shown[0].words.length, K), ceiling = itself.length ? mean(itself.flat()) : null;
    const shared = tops[0].filter((place) => tops[1].includes(place)).length;
    const many = values.length > 1 ? ` Mean of ${values.length} draws: ${mean(values).toFixed(2)}.` : "";
    const top = ceiling === null ? "" : `, ceiling ${ceiling.toFixed(2)}: each model with itself under another seed`;
    const always = shown[0].words.length <= K ? " With ten words or fewer both lists hold them all." : "";
    said.textContent = `${titles.join(" and ")} share ${shared} of their ten: Jaccard ${last.toFixed(2)}.${many} ` +
      `By chance ${chance.toFixed(2)}${top}.${always}`;
    drawLine(values, chance, ceiling, paint[0]);
    columns.replaceChildren(...shown.map((one, side) =>
      column(one, titles[side], paint[side], tops[side], tops[1 - side])));
  }

  function drawLine(values, chance, ceiling, colour) {
    const wide = ui.width(home), { place, axis } = ui.scale(0, 1, 14, wide - 14), last = values.length - 1;
    const mark = (value, title, y) => [
      ui.svg("line", { class: "tq-mark", x1: place(value), x2: place(value), y1: 26, y2: 62 }),
      ui.svg("text", { x: Math.min(Math.max(place(value), 30), wide - 30), y, "text-anchor": "middle" }, title)];
    const dots = values.map((value, at) => ui.svg("circle", { cx: place(value), fill: colour,
      ...(at === last ? { cy: 46, r: 8 } : { cy: 38 + 4 * (at % 5), r: 5, "fill-opacity": 0.35 }) }));
    const isNear = ceiling !== null && Math.abs(place(chance) - place(ceiling)) < 60;
    line.replaceChildren(ui.picture(`Jaccard ${values[last].toFixed(2)} between chance and ceiling`, wide, 88,
      axis(62, [0, 0.2, 0.4, 0.6, 0.8, 1]), ...mark(chance, "chance", 22),
      ...(ceiling === null ? [] : mark(ceiling, "ceiling", isNear ? 9 : 22)), ...dots));
  }

  function column(one, title, colour, top, other) {
    const names = models[0].labels, about = label();
    const largest = Math.max(...one.weights.map((of) => Math.abs(of[about]))) || 1;
    const bars = one.probabilities.map((value, at) => ui.element("li", {},
      ui.element("span", {}, `${names[at]} ${ui.percent(value)}`),
      ui.element("span", { class: "tq-bar", style: `width:${100 * value}%;background:${colour}` })));
    let feature = 0;
    const words = texts.map((text) => ui.element("p", { class: "tq-text" }, ...text.split(WORD).map((part, at) => {
      if (at % 2 === 0) return part;
      const weight = one.weights[feature][about];
      return ui.word(part, weight, largest, top.includes(feature++));
    })));
    const ranked = top.map((place) => {
      const { segment, word } = one.words[place], weight = one.weights[place][about], isShared = other.includes(place);
      const size = `${weight > 0 ? "+" : "−"}${Math.abs(weight).toFixed(3)}${isShared ? ", shared" : ""}`;
      return ui.element("li", { class: isShared ? "tq-shared" : null }, `${word} `,
        ui.element("small", {}, `${segment ? "second" : "first"} text, ${size}`));
    });
    return ui.element("section", {}, ui.element("h3", {}, title),
      ui.element("ul", { class: "tq-bars" }, ...bars), ...words,
      ui.element("p", {}, `Top words for “${names[about]}”`), ui.element("ol", { class: "tq-ranked" }, ...ranked));
  }

  ui.whenResized(home, draw);
  run();
})();
