/* May a small model replace a large one in accuracy? The paired interval of trusteq/estimates.py (`paired_difference`,
   `moments`) at 95%, and the outcome of trusteq/verdict/margins.py (`decide`) for this one measure. */
function trusteqReplace() {
  "use strict";

  const TAIL = 0.025, Z = 1.959963984540054, ROUNDING = 1e-9, FEWEST_EXAMPLES = 15, FEWEST_CLUSTERS = 8;

  function logGamma(x) {  // Lanczos (1964), nine terms
    const of = [0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
      12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7];
    const t = x + 6.5;
    const sum = of.reduce((total, part, i) => total + (i ? part / (x - 1 + i) : part), 0);
    return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum);
  }

  /* The regularised incomplete beta function, by its continued fraction (Lentz 1976). */
  function incompleteBeta(a, b, x) {
    if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(b, a, 1 - x);
    const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x)) / a;
    let c = 1, d = 1 / (1 - (a + b) * x / (a + 1)), found = d;
    for (let m = 1; m < 500; m++) {
      const even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
      d = 1 / (1 + even * d); c = 1 + even / c; found *= c * d;
      const odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
      d = 1 / (1 + odd * d); c = 1 + odd / c; found *= c * d;
      if (Math.abs(c * d - 1) < 1e-15) break;
    }
    return front * found;
  }

  function root(gap, low, high) {  // gap changes its sign between the two
    const isNegative = gap(low) < 0;
    for (let i = 0; i < 100; i++) {
      const middle = (low + high) / 2;
      if (gap(middle) < 0 === isNegative) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  }

  /* Student's t that is passed with probability alpha. */
  function student(alpha, dof) {
    return root((t) => incompleteBeta(dof / 2, 0.5, dof / (dof + t * t)) / 2 - alpha, 1e-9, 1e6);
  }

  const total = (values) => values.reduce((a, b) => a + b, 0);

  /* How many independent examples say as much as these values, which come in groups (codes, or null). */
  function effectiveNumber(values, groups) {
    const n = values.length, mean = total(values) / n, sizes = new Map(), sums = new Map();
    if (!groups) return { units: n, effective: n };
    groups.forEach((group, row) => {
      sizes.set(group, (sizes.get(group) || 0) + 1);
      sums.set(group, (sums.get(group) || 0) + values[row] - mean);
    });
    const units = sizes.size;
    if (units === 1) return { units, effective: 1 };
    if (units === n) return { units, effective: n };
    const shares = [...sizes.values()].map((size) => size / n), leverage = shares.map((of) => of * of / (1 - of));
    const dof = 1 / (total(shares.map((of) => of * of)) + total(leverage) ** 2 - total(leverage.map((of) => of * of)));
    const variance = total([...sums].map(([group, sum]) => sum ** 2 / (n * n * (1 - sizes.get(group) / n))));
    const independent = total(values.map((value) => (value - mean) ** 2)) / (n * (n - 1));
    if (variance <= 0 || independent <= 0) return { units, effective: units };
    const t = student(TAIL, n - 1) / student(TAIL, dof);
    return { units, effective: n / Math.max(1, variance / independent) * t * t };
  }

  /* The difference of two paired proportions at which Tango's score, corrected, is z. */
  function tangoBound(gained, lost, n, z) {
    const outwards = Math.sign(z);
    const gap = (difference) => {
      const linear = (2 * n - gained + lost) * difference - gained - lost;
      const share = (Math.sqrt(linear ** 2 + 8 * n * lost * difference * (1 - difference)) - linear) / (4 * n);
      const variance = Math.max(2 * share + difference * (1 - difference), 0);
      const third = difference - 3 * difference * (2 * share + difference) + 2 * difference ** 3;
      const tail = variance ? outwards * (z * z - 1) / 6 * third / variance : 0;
      return gained - lost - outwards * (0.5 + Math.max(0, tail)) - n * difference - z * Math.sqrt(n * variance);
    };
    const ends = [(gained - lost) / n, -outwards];
    return gap(ends[0]) * gap(ends[1]) >= 0 ? -outwards : root(gap, ...ends);
  }

  /* The share of `second` less that of `first`, both truth by example, with its 95% interval. */
  function pairedDifference(first, second, groups) {
    const change = first.map((one, row) => Number(second[row]) - Number(one)), n = change.length;
    const value = total(change) / n, { units, effective } = effectiveNumber(change, groups);
    const independent = Math.min(effective, units);
    const found = { value, n, units, effective, independent, low: -1, high: 1 };
    if (units === 1) return found;
    const rate = 1 - TAIL ** (1 / independent);
    const [gained, lost] = [1, -1].map((sign) => change.filter((of) => of === sign).length / n * effective);
    if (!gained && !lost) return { ...found, low: -rate, high: rate };
    const low = Math.min(tangoBound(gained, lost, effective, Z), value - rate * (1 + value));
    const high = Math.max(tangoBound(gained, lost, effective, -Z), value + rate * (1 - value));
    return { ...found, low: Math.max(low, -1), high: Math.min(high, 1) };
  }

  /* "equivalent", "not-equivalent" or "undecided", and why. */
  function outcome(found, margin) {
    const edge = margin + ROUNDING, smallest = margin > 0 ? Math.log(TAIL) / Math.log1p(-margin) : Infinity;
    const isFew = found.units < found.n && found.units < FEWEST_CLUSTERS;
    if (isFew) return ["undecided", "too few groups to decide anything"];
    if (found.n < FEWEST_EXAMPLES) return ["undecided", "too few examples to decide anything"];
    if (found.low > edge || found.high < -edge) return ["not-equivalent", "the whole interval lies beyond the margin"];
    const isWithin = found.low >= -edge && found.high <= edge, isSeenWithin = Math.abs(found.value) <= edge;
    if (found.independent < smallest && Number.isFinite(smallest) && (isWithin || isSeenWithin)) {
      return ["undecided", `what happens at the rate of the margin shows in ${Math.ceil(smallest)} examples or more`];
    }
    if (isWithin) return ["equivalent", "the whole interval lies within the margin"];
    return ["undecided", "the interval reaches across the margin"];
  }

  /* The small model answers where its confidence reaches the threshold; the rest is handed to the large one.
     large, small: {right, seconds}, small.confidence too. saved: the share of the large one's time. */
  function handOver(large, small, threshold) {
    const kept = small.confidence.map((value) => value >= threshold);
    const right = kept.map((own, row) => (own ? small.right[row] : large.right[row]));
    const handed = kept.filter((own) => !own).length / kept.length;
    return { right, handed, saved: 1 - (small.seconds + handed * large.seconds) / large.seconds };
  }

  return { pairedDifference, outcome, handOver, student };
}
