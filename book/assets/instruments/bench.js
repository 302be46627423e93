/* "The calibration bench": reliability diagram, ECE and MCE of the run's predictions, and what luck does to them. */
(function () {
  "use strict";

  const ui = trusteqControls(), of = trusteqCalibration(), lime = trusteqLime(), home = ui.home("bench");
  const tasks = trusteqData.predictions, start = ui.later(20, draw);
  let drawn = 0;

  const task = ui.select("Task", tasks.map((one) => one.title), () => { settle(); start(); });
  const model = ui.select("Model", [], start);
  const nBins = ui.range("Bins", { min: 2, max: 30, step: 1, value: home.dataset.bins, change: start });
  const binning = ui.select("Bins of equal", ["width", "mass (number of predictions)"], start);
  const heat = ui.range("Temperature", { min: -2, max: 2, step: 0.05, value: 0,
    show: (value) => (2 ** value).toFixed(2), change: start });
  const size = ui.range("Examples", { min: 50, max: 1000, step: 10, value: 1000, change: start });
  const again = ui.button("Draw again", () => { drawn++; start(); });
  const own = ui.toggle("Draw labels from the model itself", start);
  const said = ui.said(), pictures = ui.element("div", { class: "tq-columns" });
  home.replaceChildren(task.row, ui.element("div", { class: "tq-knobs" }, model.row, binning.row, nBins.row, heat.row,
    size.row), ui.element("div", { class: "tq-buttons" }, own, again), said, pictures);

  function settle() {
    const now = tasks[task.value()], n = now.gold.length;
    model.fill(now.models.map((one) => one.title));
    size.set({ min: Math.min(50, n), max: n }, n);
  }

  function draw() {
    const now = tasks[task.value()], side = now.models[model.value()], every = ui.unpack(side, now.labels.length);
    const rows = ui.subset(now.gold.length, size.value(), lime.random(drawn, 1)), isOwn = ui.isPressed(own);
    const probabilities = of.rescale(rows.map((row) => every[row]), 2 ** heat.value());
    const labels = isOwn ? of.labelDrawer(probabilities)(lime.random(drawn, 2)) : rows.map((row) => now.gold[row]);
    const how = { nBins: nBins.value(), binning: binning.value() ? "equal-mass" : "equal-width" };
    const found = of.reliability(probabilities, labels, how);
    const bands = of.nullBands(probabilities, lime.random(3), how);
    const tell = (name) => {
      const { low, high } = bands[name], value = found[name];
      const verdict = value > high ? "more than luck" : value < low ? "less than luck" : "no more than luck";
      const [at, from, to] = [value, low, high].map((of) => of.toFixed(3));
      return `${name.toUpperCase()} ${at}, by luck alone ${from} to ${to}: ${verdict}.`;
    };
    const whose = isOwn ? " Labels are drawn from the model itself." : "";
    said.textContent = `${tell("ece")} ${tell("mce")}${whose}${ui.partOf(now)}`;
    pictures.replaceChildren(diagram(found, rows.length, side), strips(found, bands, side.colour));
  }

  function diagram(found, n, side) {
    const wide = Math.min(ui.width(home), 360), low = 44, { place, axis } = ui.scale(0, 1, low, wide - 12);
    const y = (value) => wide - 24 - (place(value) - low), base = y(0), ticks = [0, 0.25, 0.5, 0.75, 1];
    const filled = found.table.filter((bin) => bin.count), { colour } = side;
    const bars = filled.flatMap((bin) => [
      ui.svg("rect", { x: place(bin.lower), width: Math.max(place(bin.upper) - place(bin.lower) - 1, 1),
        y: y(bin.accuracy), height: base - y(bin.accuracy), fill: colour, "fill-opacity": 0.4 }),
      ui.svg("line", { class: "tq-gap", x1: place(bin.confidence), x2: place(bin.confidence), y1: y(bin.accuracy),
        y2: y(bin.confidence) })]);
    const dots = filled.map((bin) => ui.svg("circle", { cx: place(bin.confidence), cy: y(bin.accuracy),
      r: 2.5 + 9 * Math.sqrt(bin.count / n), fill: colour, "fill-opacity": 0.85 }));
    const upright = ui.svg("g", { class: "tq-axis" }, ui.svg("line", { x1: low, x2: low, y1: base, y2: y(1) }),
      ...ticks.map((tick) => ui.svg("text", { x: low - 6, y: y(tick) + 4, "text-anchor": "end" }, String(tick))));
    return ui.picture(`Reliability diagram of ${side.title}: accuracy over confidence`, wide, wide + 14, ...bars,
      ui.svg("line", { class: "tq-diagonal", x1: place(0), y1: base, x2: place(1), y2: y(1) }), ...dots, upright,
      axis(base, ticks), ui.svg("text", { x: (low + wide) / 2, y: base + 34, "text-anchor": "middle" }, "confidence"),
      ui.svg("text", { x: 11, y: y(0.5), "text-anchor": "middle", transform: `rotate(-90 11 ${y(0.5)})` },
        "accuracy"));
  }

  function strips(found, bands, colour) {
    const ends = ["ece", "mce"].flatMap((name) => [found[name], bands[name].high]);
    const wide = Math.min(ui.width(home), 360);
    const last = Math.ceil(Math.max(0.1, ...ends) * 10) / 10, { place, axis } = ui.scale(0, last, 48, wide - 14);
    const rows = ["ece", "mce"].flatMap((name, row) => {
      const y = 34 + 56 * row, { low, high, expected } = bands[name];
      return [
        ui.svg("rect", { class: "tq-band", x: place(low), width: place(high) - place(low), y: y - 11, height: 22 }),
        ui.svg("line", { class: "tq-mark", x1: place(expected), x2: place(expected), y1: y - 11, y2: y + 11 }),
        ui.svg("circle", { cx: place(found[name]), cy: y, r: 8, fill: colour }),
        ui.svg("text", { x: 40, y: y + 5, "text-anchor": "end" }, name.toUpperCase())];
    });
    return ui.picture("ECE and MCE, each over what luck alone gives", wide, 176, ...rows,
      axis(122, [0, last / 2, last], (tick) => tick.toFixed(2)),
      ui.svg("text", { x: 48, y: 160 }, "band: by luck alone, 95%; dot: found"));
  }

  settle();
  ui.whenResized(home, draw);
  draw();
})();
