/* "May it replace the large one?": margin, number of examples and hand-over, and what they decide. */
(function () {
  "use strict";

  const ui = trusteqControls(), of = trusteqReplace(), calibration = trusteqCalibration(), lime = trusteqLime();
  const home = ui.home("exchange"), tasks = trusteqData.predictions, start = ui.later(20, draw), { percent } = ui;
  const TITLES = { equivalent: "yes, within the margin", "not-equivalent": "no, beyond the margin",
    undecided: "undecided" };
  let drawn = 0;
  if (tasks[0].models.length < 2) {
    home.replaceChildren(ui.element("p", {}, "This run has one model: there is none to replace it."));
    return;
  }

  const task = ui.select("Task", tasks.map((one) => one.title), () => { settle(); start(); });
  const small = ui.select("Small model", [], start);
  const margin = ui.range("Margin in accuracy", { min: 0.005, max: 0.2, step: 0.005, value: home.dataset.margin,
    show: (value) => `${(100 * value).toFixed(1)} points`, change: start });
  const size = ui.range("Examples", { min: 10, max: 1000, step: 10, value: 1000, change: start });
  const threshold = ui.range("Hand over below confidence", { min: 0, max: 1, step: 0.01,
    value: home.dataset.threshold, show: (value) => value.toFixed(2), change: start });
  const again = ui.button("Draw other examples", () => { drawn++; start(); });
  const said = ui.said(), line = ui.element("div"), facts = ui.element("div"), which = ui.element("p");
  const listed = ui.element("details", {}, ui.element("summary", {}, "Which answers turn wrong"), which);
  home.replaceChildren(task.row, ui.element("div", { class: "tq-knobs" }, small.row, margin.row, size.row,
    threshold.row), ui.element("div", { class: "tq-buttons" }, again), said, line, facts, listed);

  function settle() {
    const now = tasks[task.value()], n = now.gold.length;
    small.fill(now.models.slice(1).map((one) => one.title));
    size.set({ min: Math.min(10, n), max: n }, n);
  }

  function draw() {
    const now = tasks[task.value()], chosen = [now.models[0], now.models[1 + small.value()]];
    const rows = ui.subset(now.gold.length, size.value(), lime.random(drawn, 4));
    const groups = now.groups && rows.map((row) => now.groups[row]);
    const [large, one] = chosen.map((model) => {
      const every = ui.unpack(model, now.labels.length), probabilities = rows.map((row) => every[row]);
      const right = calibration.predicted(probabilities).map((label, at) => label === now.gold[rows[at]]);
      return { right, seconds: model.seconds, confidence: calibration.confidences(probabilities) };
    });
    const joint = of.handOver(large, one, threshold.value());
    const both = [["alone", one.right], ["with hand-over", joint.right]].map(([title, right]) => {
      const found = of.pairedDifference(large.right, right, groups);
      const [outcome, reason] = of.outcome(found, margin.value());
      return { title, right, found, outcome, reason };
    });
    said.textContent = both.map(({ title, outcome, reason }) =>
      `${chosen[1].title} ${title}: ${TITLES[outcome]}, ${reason}.`).join(" ") + ui.partOf(now);
    drawLine(both);
    facts.replaceChildren(told(both, large, joint, chosen, rows.length));
    const ids = rows.filter((_, at) => large.right[at] && !joint.right[at]).map((row) => now.ids[row]);
    const more = ids.length > 20 ? ` and ${ids.length - 20} more` : "";
    which.textContent = `With hand-over: ${ids.slice(0, 20).join(", ") || "none"}${more}.`;
  }

  function told(both, large, joint, chosen, n) {
    const share = (values) => percent(values.filter(Boolean).length / n);
    const turned = (right, from) => String(right.filter((of, at) => large.right[at] === from && of !== from).length);
    const heads = ["measure", "large", "alone", "hand-over"], [alone, handed] = both;
    const row = (title, of) => [title, "–", of(alone), of(handed)];
    const points = (value) => `${value < 0 ? "−" : "+"}${Math.abs(100 * value).toFixed(1)}`;
    const title = "What the exchange brings";
    return ui.element("div", { class: "tq-scroll", tabindex: 0, role: "region", "aria-label": title },
      ui.table(`${chosen[1].title} beside ${chosen[0].title}, ${n} examples`, heads, [
        ["accuracy", share(large.right), share(alone.right), share(handed.right)],
        row("difference, 95%, in points", ({ found }) => `${points(found.low)} to ${points(found.high)}`),
        row("right answers that turn wrong", ({ right }) => turned(right, true)),
        row("wrong answers that turn right", ({ right }) => turned(right, false)),
        ["share handed over", "–", percent(0), percent(joint.handed)],
        ["time saved", "–", percent(1 - chosen[1].seconds / chosen[0].seconds), percent(joint.saved)],
      ]));
  }

  function drawLine(both) {
    const wide = ui.width(home), edge = margin.value(), ends = both.flatMap(({ found }) => [-found.low, found.high]);
    const last = Math.ceil(Math.max(edge, ...ends) * 1.1 * 50) / 50;
    const { place, axis } = ui.scale(-last, last, 14, wide - 14);
    const rows = both.flatMap(({ title, found, outcome }, row) => {
      const y = 34 + 48 * row;
      return [ui.svg("text", { x: 14, y: y - 14 }, title),
        ui.svg("line", { class: `tq-interval tq-${outcome}`, x1: place(found.low), x2: place(found.high),
          y1: y, y2: y }),
        ui.svg("circle", { class: `tq-${outcome}`, cx: place(found.value), cy: y, r: 7 })];
    });
    const label = both.map(({ title, outcome }) => `${title}: ${TITLES[outcome]}`).join("; ");
    line.replaceChildren(ui.picture(`Difference in accuracy against the margin. ${label}`, wide, 150,
      ui.svg("rect", { class: "tq-band", x: place(-edge), width: place(edge) - place(-edge), y: 4, height: 96 }),
      ui.svg("line", { class: "tq-mark", x1: place(0), x2: place(0), y1: 4, y2: 100 }), ...rows,
      axis(100, [-last, -last / 2, 0, last / 2, last], (tick) => (100 * tick).toFixed(0).replace("-", "−")),
      ui.svg("text", { x: wide / 2, y: 140, "text-anchor": "middle" },
        "points of accuracy, small − large; band: the margin")));
  }

  settle();
  ui.whenResized(home, draw);
  draw();
})();
