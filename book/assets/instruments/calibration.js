/* Calibration as trusteq/calibration (bins.py, proper_scores.py, intervals.py) computes it. Probabilities:
   [row][class]; labels: class indices. `draw` gives uniform numbers in [0, 1). */
function trusteqCalibration() {
  "use strict";

  const SMALLEST = 1e-12;

  function confidences(probabilities) { return probabilities.map((row) => Math.max(...row)); }
  function predicted(probabilities) { return probabilities.map((row) => row.indexOf(Math.max(...row))); }

  /* Quantile of sorted values, by linear interpolation. */
  function quantile(sorted, share) {
    const place = (sorted.length - 1) * share, below = Math.floor(place), low = sorted[below];
    return low + (sorted[Math.min(below + 1, sorted.length - 1)] - low) * (place - below);
  }

  function edgesOf(confidence, nBins, binning) {
    const shares = Array.from({ length: nBins + 1 }, (_, i) => i / nBins);
    if (binning === "equal-width") return shares;
    const sorted = Float64Array.from(confidence).sort(), edges = shares.map((share) => quantile(sorted, share));
    edges[0] = 0;
    edges[nBins] = 1;
    return edges;
  }

  /* Bins are (lower, upper], the first one includes 0. */
  function binOf(value, edges) {
    let below = 0;
    while (below < edges.length && edges[below] < value) below++;
    return Math.max(below - 1, 0);
  }

  /* Edges, the bin of each row, and number and summed confidence by bin. */
  function design(probabilities, nBins, binning) {
    const confidence = confidences(probabilities), edges = edgesOf(confidence, nBins, binning);
    const bins = confidence.map((value) => binOf(value, edges));
    const count = new Array(nBins).fill(0), sure = new Array(nBins).fill(0);
    bins.forEach((bin, row) => { count[bin]++; sure[bin] += confidence[row]; });
    return { edges, bins, count, sure, predicted: predicted(probabilities), n: probabilities.length };
  }

  function rightByBin(of, labels) {
    const right = new Array(of.count.length).fill(0);
    of.bins.forEach((bin, row) => { if (of.predicted[row] === labels[row]) right[bin]++; });
    return right;
  }

  function errors(of, right) {
    const gaps = right.map((value, bin) => Math.abs(value - of.sure[bin]));
    const ece = gaps.reduce((a, b) => a + b, 0) / of.n;
    return { ece, mce: Math.max(...gaps.map((gap, bin) => gap / Math.max(of.count[bin], 1))) };
  }

  /* The reliability table, a row a bin, and the two errors of it. */
  function reliability(probabilities, labels, { nBins = 10, binning = "equal-width" } = {}) {
    const of = design(probabilities, nBins, binning), right = rightByBin(of, labels);
    const table = right.map((value, bin) => ({
      lower: of.edges[bin], upper: of.edges[bin + 1], count: of.count[bin],
      accuracy: value / of.count[bin], confidence: of.sure[bin] / of.count[bin],
    }));
    return { table, ...errors(of, right) };
  }

  /* A function that draws labels from the probabilities themselves, one a row, by the inverse of their sums. */
  function labelDrawer(probabilities) {
    const borders = probabilities.map((row) => {
      const total = row.reduce((a, b) => a + b, 0);
      let sum = 0;
      return row.slice(0, -1).map((part) => (sum += part) / total);
    });
    return (draw) => borders.map((row) => {
      const at = draw();
      let label = 0;
      for (let i = 0; i < row.length; i++) if (at >= row[i]) label++;
      return label;
    });
  }

  /* What ECE and MCE are where the labels are drawn from the probabilities: their mean, and the middle `level`. */
  function nullBands(probabilities, draw, { nBins = 10, binning = "equal-width", draws = 1000, level = 0.95 } = {}) {
    const of = design(probabilities, nBins, binning), labels = labelDrawer(probabilities), found = { ece: [], mce: [] };
    for (let i = 0; i < draws; i++) {
      const drawn = errors(of, rightByBin(of, labels(draw)));
      for (const name of ["ece", "mce"]) found[name].push(drawn[name]);
    }
    const band = (values) => {
      const sorted = Float64Array.from(values).sort();
      const [low, high] = [1 - level, 1 + level].map((twice) => quantile(sorted, twice / 2));
      return { expected: values.reduce((a, b) => a + b, 0) / draws, low, high };
    };
    return { ece: band(found.ece), mce: band(found.mce) };
  }

  /* Softmax of the logarithms over a temperature. */
  function rescale(probabilities, temperature) {
    return probabilities.map((row) => {
      const logits = row.map((value) => Math.log(Math.max(value, SMALLEST)) / temperature), top = Math.max(...logits);
      const powers = logits.map((value) => Math.exp(value - top)), sum = powers.reduce((a, b) => a + b, 0);
      return powers.map((power) => power / sum);
    });
  }

  return { reliability, nullBands, labelDrawer, rescale, confidences, predicted };
}
