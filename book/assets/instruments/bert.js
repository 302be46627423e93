/* A BERT classifier of pairs of texts, forward, with its WordPiece tokenizer, on typed arrays. A plain function of no
   outer names: it runs on a page, from file:// too, and by its source in a Worker. The weights are single precision,
   sums are taken in double. A model is what trusteq/pages/instruments.py writes of one. */
function trusteqBert() {
  "use strict";

  // Tokens of this many rows are worked on at once: what a layer needs of them stays in a processor's cache.
  const TOKENS_AT_ONCE = 512;
  const SPECIAL = /(\[(?:PAD|UNK|CLS|SEP|MASK)\])/;
  const PIECES = /[\p{P}!-/:-@[-`{-~]|[^\s\p{P}!-/:-@[-`{-~]+/gu;
  const CHINESE = new RegExp("[\u4e00-\u9fff\u3400-\u4dbf\\u{20000}-\\u{2a6df}\\u{2a700}-\\u{2b73f}" +
    "\\u{2b740}-\\u{2b81f}\\u{2b920}-\\u{2ceaf}\uf900-\ufaff\\u{2f800}-\\u{2fa1f}]", "gu");

  /* The tokenizer: BERT's normalisation, one piece a word or mark, then the longest known pieces of each. */
  function normalised(text, config) {
    let found = text.replace(/[\t\n\r]/g, " ").replace(/[\0\ufffd]|\p{C}/gu, "").replace(CHINESE, " $& ");
    if (config.strip_accents) found = found.normalize("NFD").replace(/\p{Mn}/gu, "");
    return config.lowercase ? found.replace(/./gsu, (one) => one.toLowerCase()) : found;
  }

  function pieces(word, known) {
    const letters = Array.from(word), found = [], unknown = [known.get("[UNK]")];
    if (letters.length > 100) return unknown;
    for (let start = 0, end; start < letters.length; start = end) {
      let id;
      for (end = letters.length; end > start; end--) {
        id = known.get((start ? "##" : "") + letters.slice(start, end).join(""));
        if (id !== undefined) break;
      }
      if (id === undefined) return unknown;
      found.push(id);
    }
    return found;
  }

  function tokens(text, config, known) {
    const ids = [];
    text.split(SPECIAL).forEach((part, place) => {
      if (place % 2) ids.push(known.get(part));
      else for (const word of normalised(part, config).match(PIECES) || []) ids.push(...pieces(word, known));
    });
    return ids;
  }

  /* The longer text is cut first, as the library does it. */
  function cut(first, second, most) {
    if (first.length + second.length <= most) return [first, second];
    let short = Math.min(first.length, second.length), long = Math.max(short, most - short);
    if (short + long > most) { short = Math.floor(most / 2); long = short + most % 2; }
    const sizes = first.length > second.length ? [long, short] : [short, long];
    return [first.slice(0, sizes[0]), second.slice(0, sizes[1])];
  }

  /* Arithmetic on blocks of rows, Float64Array, row after row. */
  function linear(x, rows, part, out) {
    const { weight, bias, inner, outer } = part;
    const even = outer - outer % 2;
    for (let row = 0; row < rows; row += 4) {  // buffers hold a multiple of 4 rows
      const x0 = row * inner, x1 = x0 + inner, x2 = x1 + inner, x3 = x2 + inner;
      for (let to = 0; to < even; to += 2) {
        const w0 = to * inner, w1 = w0 + inner;
        let a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
        for (let i = 0; i < inner; i++) {
          const a = weight[w0 + i], b = weight[w1 + i];
          const p = x[x0 + i], q = x[x1 + i], r = x[x2 + i], s = x[x3 + i];
          a0 += a * p; a1 += a * q; a2 += a * r; a3 += a * s;
          b0 += b * p; b1 += b * q; b2 += b * r; b3 += b * s;
        }
        const at = row * outer + to, ba = bias[to], bb = bias[to + 1];
        out[at] = a0 + ba; out[at + outer] = a1 + ba; out[at + 2 * outer] = a2 + ba; out[at + 3 * outer] = a3 + ba;
        out[at + 1] = b0 + bb; out[at + outer + 1] = b1 + bb;
        out[at + 2 * outer + 1] = b2 + bb; out[at + 3 * outer + 1] = b3 + bb;
      }
      for (let to = even; to < outer; to++) {
        for (let k = 0; k < 4; k++) {
          let sum = bias[to];
          for (let i = 0; i < inner; i++) sum += weight[to * inner + i] * x[x0 + k * inner + i];
          out[(row + k) * outer + to] = sum;
        }
      }
    }
    return out;
  }

  /* x becomes the layer norm of x + added. */
  function normalise(x, added, rows, norm, epsilon) {
    const width = norm.weight.length;
    for (let start = 0; start < rows * width; start += width) {
      let mean = 0, square = 0;
      for (let i = start; i < start + width; i++) { if (added) x[i] += added[i]; mean += x[i]; }
      mean /= width;
      for (let i = start; i < start + width; i++) square += (x[i] - mean) ** 2;
      const scale = 1 / Math.sqrt(square / width + epsilon);
      for (let i = 0; i < width; i++) {
        x[start + i] = (x[start + i] - mean) * scale * norm.weight[i] + norm.bias[i];
      }
    }
  }

  /* Abramowitz and Stegun (1964), 7.1.26: off by 1.5e-7 at most. */
  function erf(x) {
    const t = 1 / (1 + 0.3275911 * Math.abs(x));
    const sum = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    return Math.sign(x) * (1 - sum * Math.exp(-x * x));
  }

  function gelu(x, size) {
    for (let i = 0; i < size; i++) x[i] *= 0.5 * (1 + erf(x[i] * Math.SQRT1_2));
  }

  function softmax(values) {
    const top = Math.max(...values), powers = values.map((value) => Math.exp(value - top));
    const sum = powers.reduce((a, b) => a + b, 0);
    return powers.map((power) => power / sum);
  }

  /* Each of `spans`, [first token, number of tokens], attends to itself alone: no padding, and no mask. The queries are
     of all tokens, or, where only they are asked for, of each span's first one. */
  function attend(query, key, value, spans, isFirst, width, heads, out) {
    const size = width / heads, scale = 1 / Math.sqrt(size);
    spans.forEach(([first, length], place) => {
      const weights = new Float64Array(length), [start, end] = isFirst ? [place, place + 1] : [first, first + length];
      for (let head = 0; head < width; head += size) {
        for (let from = start; from < end; from++) {
          let top = -Infinity, sum = 0;
          for (let to = 0; to < length; to++) {
            let dot = 0;
            for (let i = 0; i < size; i++) dot += query[from * width + head + i] * key[(first + to) * width + head + i];
            weights[to] = dot * scale;
            if (weights[to] > top) top = weights[to];
          }
          for (let to = 0; to < length; to++) sum += weights[to] = Math.exp(weights[to] - top);
          for (let i = 0; i < size; i++) {
            let mean = 0;
            for (let to = 0; to < length; to++) mean += weights[to] * value[(first + to) * width + head + i];
            out[from * width + head + i] = mean / sum;
          }
        }
      }
    });
  }

  function tensors(model) {
    const bytes = Uint8Array.from(atob(model.weights), (one) => one.charCodeAt(0));
    const view = new DataView(bytes.buffer), found = {};
    let at = 0;
    for (const [name, size] of model.tensors) {
      found[name] = new Float64Array(size);
      for (let i = 0; i < size; i++, at += 4) found[name][i] = view.getFloat32(at, true);
    }
    return found;
  }

  function load(model) {
    const config = model.config, all = tensors(model), width = config.hidden_size;
    const known = new Map(model.vocabulary.map((token, id) => [token, id]));
    const pair = (name) => ({ weight: all[`${name}.weight`], bias: all[`${name}.bias`] });
    const dense = (name) => {
      const part = pair(name), outer = part.bias.length;
      return { ...part, outer, inner: part.weight.length / outer };
    };
    const layers = Array.from({ length: config.num_hidden_layers }, (_, number) => {
      const at = `encoder.layer.${number}`;
      return {
        query: dense(`${at}.attention.self.query`), key: dense(`${at}.attention.self.key`),
        value: dense(`${at}.attention.self.value`), joined: dense(`${at}.attention.output.dense`),
        afterAttention: pair(`${at}.attention.output.LayerNorm`), wide: dense(`${at}.intermediate.dense`),
        narrow: dense(`${at}.output.dense`), afterAll: pair(`${at}.output.LayerNorm`),
      };
    });
    const embedded = ["word", "position", "token_type"].map((name) => all[`embeddings.${name}_embeddings.weight`]);
    const first = pair("embeddings.LayerNorm"), pooler = dense("pooler.dense"), classifier = dense("classifier");

    function encode(a, b) {
      const both = [a, b].map((text) => tokens(text, config, known));
      const [one, two] = cut(...both, config.max_length - 3);
      const ids = [known.get("[CLS]"), ...one, known.get("[SEP]"), ...two, known.get("[SEP]")];
      return { ids, second: one.length + 2, isCut: ids.length < both[0].length + both[1].length + 3 };
    }

    function firsts(x, spans) {
      const found = new Float64Array((spans.length + 4) * width);
      spans.forEach(([at], row) => found.set(x.subarray(at * width, (at + 1) * width), row * width));
      return found;
    }

    function forward(rows) {
      const spans = [];
      let total = 0;
      for (const { ids } of rows) { spans.push([total, ids.length]); total += ids.length; }
      const buffer = (size) => new Float64Array((total + 4) * size);
      const [query, key, value, mixed] = [0, 0, 0, 0].map(() => buffer(width));
      const wide = buffer(config.intermediate_size);
      let x = buffer(width), n = total;
      rows.forEach(({ ids, second }, row) => ids.forEach((id, place) => {
        const at = (spans[row][0] + place) * width, places = [id, place, place < second ? 0 : 1];
        embedded.forEach((table, kind) => {
          for (let i = 0; i < width; i++) x[at + i] += table[places[kind] * width + i];
        });
      }));
      normalise(x, null, n, first, config.layer_norm_eps);
      layers.forEach((layer, number) => {
        const isLast = number === layers.length - 1;  // of whose tokens the classifier reads each first one alone
        linear(x, n, layer.key, key);
        linear(x, n, layer.value, value);
        if (isLast) [x, n] = [firsts(x, spans), rows.length];
        linear(x, n, layer.query, query);
        attend(query, key, value, spans, isLast, width, config.num_attention_heads, mixed);
        normalise(x, linear(mixed, n, layer.joined, query), n, layer.afterAttention, config.layer_norm_eps);
        gelu(linear(x, n, layer.wide, wide), n * config.intermediate_size);
        normalise(x, linear(wide, n, layer.narrow, query), n, layer.afterAll, config.layer_norm_eps);
      });
      const pooled = linear(x, n, pooler, new Float64Array(x.length)).map(Math.tanh);
      const logits = linear(pooled, n, classifier, new Float64Array((n + 4) * classifier.outer));
      const at = (row) => Array.from(logits.subarray(row * classifier.outer, (row + 1) * classifier.outer));
      return rows.map((_, row) => softmax(at(row)));
    }

    /* Probabilities of each class, an array for each pair, [first text, second text]. */
    function predict(pairs) {
      const found = [];
      let rows = [], size = 0;
      pairs.forEach((texts, number) => {
        rows.push(encode(...texts));
        size += rows[rows.length - 1].ids.length;
        if (size < TOKENS_AT_ONCE && number < pairs.length - 1) return;
        found.push(...forward(rows));
        [rows, size] = [[], 0];
      });
      return found;
    }
    return { predict, encode, labels: model.labels };
  }
  return { load };
}
