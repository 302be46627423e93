/* LIME (Ribeiro et al., 2016) as trusteq/attribution/lime.py computes it, and what is compared of its weights, as
   trusteq/alignment/ranking.py does. A plain function of no outer names, for a page and for a Worker. */
function trusteqLime() {
  "use strict";

  const KEPT = 20, KERNEL_WIDTH = 25, NOISE = 1e-12;
  const WORD = /[\p{L}\p{N}_]+/gu;

  /* Uniform numbers in [0, 1): mulberry32. Each number of a stream depends on the seed and the names alone. */
  function random(...seeds) {
    let state = 0x9e3779b9;
    for (const seed of seeds) state = Math.imul(state ^ (seed | 0), 0x85ebca6b) ^ (state >>> 13);
    return () => {
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  /* The words of the texts, in one row: {segment, position, word}. */
  function words(texts) {
    return texts.flatMap((text, segment) =>
      (text.match(WORD) || []).map((word, position) => ({ segment, position, word })));
  }

  /* The texts without the words that a mask leaves out, white space collapsed. */
  function masked(texts, mask) {
    let place = 0;
    return texts.map((text) => {
      const left = text.replace(WORD, (word) => (mask[place++] ? word : ""));
      return left.split(/\s+/).filter(Boolean).join(" ");
    });
  }

  /* Masks: all kept, then each without a random number, 1 or more, of random features. */
  function perturbations(nFeatures, nSamples, draw) {
    const masks = [new Array(nFeatures).fill(1)];
    while (masks.length < nSamples) {
      const removed = 1 + Math.floor(draw() * nFeatures);
      const keys = Array.from({ length: nFeatures }, draw), mask = new Array(nFeatures).fill(1);
      keys.map((_, place) => place).sort((a, b) => keys[a] - keys[b]).slice(0, removed).forEach((place) => {
        mask[place] = 0;
      });
      masks.push(mask);
    }
    return masks;
  }

  /* Weights, [feature][class], of the linear model of masks, [sample][feature], and probabilities, [sample][class]. */
  function surrogate(masks, probabilities) {
    const proximity = masks.map((mask) => {
      const distance = 1 - Math.sqrt(mask.reduce((a, b) => a + b, 0) / mask.length);
      return Math.sqrt(Math.exp(-((100 * distance) ** 2) / KERNEL_WIDTH ** 2));
    });
    const all = masks[0].map((_, feature) => feature), classes = probabilities[0].map((_, label) => label);
    if (all.length <= KEPT) return ridge(masks, probabilities, all, classes, proximity, 1.0);
    const first = ridge(masks, probabilities, all, classes, proximity, 0.01);
    const weights = all.map(() => classes.map(() => 0));
    for (const label of classes) {
      const kept = [...all].sort((a, b) => Math.abs(first[b][label]) - Math.abs(first[a][label])).slice(0, KEPT);
      const second = ridge(masks, probabilities, kept, [label], proximity, 1.0);
      kept.forEach((feature, row) => { weights[feature][label] = second[row][0]; });
    }
    return weights;
  }

  /* Coefficients, [feature][target], of a ridge regression with an intercept and sample weights. */
  function ridge(data, targets, features, labels, proximity, penalty) {
    const sum = proximity.reduce((a, b) => a + b, 0);
    const centred = (rows, column) => {
      let mean = 0;
      rows.forEach((row, sample) => { mean += row[column] * proximity[sample]; });
      mean /= sum;
      return Float64Array.from(rows, (row, sample) => Math.sqrt(proximity[sample]) * (row[column] - mean));
    };
    const x = features.map((feature) => centred(data, feature)), y = labels.map((label) => centred(targets, label));
    const matrix = x.map((one, row) => x.map((other, column) => dot(one, other) + (row === column ? penalty : 0)));
    return solve(matrix, x.map((one) => y.map((target) => dot(one, target))));
  }

  function dot(a, b) {
    let sum = 0;
    for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
    return sum;
  }

  /* Solve a symmetric, positive definite system by Cholesky: matrix [n][n], right sides [n][m]. */
  function solve(matrix, right) {
    const n = matrix.length, root = matrix.map((row) => [...row]), found = right.map((row) => [...row]);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j <= i; j++) {
        let sum = root[i][j];
        for (let k = 0; k < j; k++) sum -= root[i][k] * root[j][k];
        root[i][j] = i === j ? Math.sqrt(sum) : sum / root[j][j];
      }
    }
    for (let column = 0; column < right[0].length; column++) {
      for (let i = 0; i < n; i++) {
        for (let k = 0; k < i; k++) found[i][column] -= root[i][k] * found[k][column];
        found[i][column] /= root[i][i];
      }
      for (let i = n - 1; i >= 0; i--) {
        for (let k = i + 1; k < n; k++) found[i][column] -= root[k][i] * found[k][column];
        found[i][column] /= root[i][i];
      }
    }
    return found;
  }

  /* Explain a pair: ask `predict`, pairs to probabilities, about each distinct mask once. */
  function explain(predict, texts, masks) {
    const distinct = new Map(masks.map((mask) => [mask.join(""), mask]));
    const answers = predict([...distinct.values()].map((mask) => masked(texts, mask)));
    const known = new Map([...distinct.keys()].map((key, place) => [key, answers[place]]));
    const probabilities = masks.map((mask) => known.get(mask.join("")));
    return { words: words(texts), weights: surrogate(masks, probabilities), probabilities: probabilities[0] };
  }

  /* Places of the k features of largest absolute weight for a class; ties in order, what is noise left out. */
  function topFeatures(weights, label, k) {
    const sizes = weights.map((of) => Math.abs(of[label])), least = NOISE * Math.max(1, ...sizes);
    const places = sizes.map((_, place) => place).filter((place) => sizes[place] > least);
    return places.sort((a, b) => sizes[b] - sizes[a]).slice(0, k);
  }

  function jaccard(a, b) {
    const union = new Set([...a, ...b]).size;
    return union ? a.filter((one) => b.includes(one)).length / union : NaN;
  }

  /* The expected Jaccard index of two random sets of k and kB of n features: hypergeometric, exact. */
  function chanceJaccard(n, k, kB = k) {
    const a = Math.min(k, n), b = Math.min(kB, n);
    const choose = (from, of) => {
      let ways = 1;
      for (let i = 1; i <= of; i++) ways *= (from - of + i) / i;
      return of < 0 || of > from ? 0 : ways;
    };
    let sum = 0;
    for (let shared = Math.max(0, a + b - n); shared <= Math.min(a, b); shared++) {
      sum += choose(a, shared) * choose(n - a, b - shared) / choose(n, b) * shared / (a + b - shared);
    }
    return a + b ? sum : NaN;
  }

  return { random, words, masked, perturbations, surrogate, explain, topFeatures, jaccard, chanceJaccard };
}
