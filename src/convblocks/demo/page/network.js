// The forward pass of a network of convolutions, layer by layer: its layers are those that layout.py describes. A layer's
// maps lie one behind the other in `values`: that of map m, row y and column x is values[(m * size + y) * size + x].

const MEAN = 0.1307, STD = 0.3081;  // those of MNIST

// The layers with their weights. Those before the maps are one vector are the stages that are shown; with each
// convolution a block begins, whose number its stages know. The others are the head.
function layersOf(layers, weights) {
  let block = -1;
  const withWeights = layers.map((layer) => {
    block += Number(layer.kind === "conv");
    const part = (name) => weights[`${layer.name}.${name}`];
    if (layer.kind === "norm") return { ...layer, block, ...scaleAndShift(part, layer.epsilon) };
    return { ...layer, block, weight: part("weight"), bias: part("bias") };
  });
  const end = layers.findIndex(({ kind }) => kind === "mean" || kind === "flatten");
  return { stages: withWeights.slice(0, end), head: withWeights.slice(end) };
}

// Once trained, batch normalisation multiplies each map by one number and adds another.
function scaleAndShift(part, epsilon) {
  const scale = Float64Array.from(part("weight"), (weight, m) => weight / Math.sqrt(part("running_var")[m] + epsilon));
  const shift = Float64Array.from(part("bias"), (bias, m) => bias - part("running_mean")[m] * scale[m]);
  return { scale, shift };
}

class Network {
  constructor(layers, weights, dead) {
    Object.assign(this, layersOf(layers, weights));
    this.dead = dead;  // of each block a text with a 1 for each dead map, if that was measured
  }

  // The output of every stage for an image of 784 values from 0 to 1, the image itself before them, and the logits.
  forward(image) {
    const outputs = [{ maps: 1, size: 28, values: Float64Array.from(image, (value) => (value - MEAN) / STD) }];
    for (const stage of this.stages) outputs.push(FORWARD[stage.kind](outputs.at(-1), stage));
    const logits = this.head.reduce((output, layer) => FORWARD[layer.kind](output, layer), outputs.at(-1)).values;
    return { outputs, logits: Array.from(logits) };
  }

  // What is shown of an image of 784 values 0..255: the probabilities, and the stages with what goes into them.
  look(pixels) {
    const { outputs, logits } = this.forward(Array.from(pixels, (value) => value / 255));
    const stages = this.stages.map((stage, index) => {
      const { maps, size, values } = outputs[index + 1];
      const relu = this.stages.findIndex(({ block, kind }) => block === stage.block && kind === "ReLU");
      const none = "0".repeat(maps), off = relu < 0 ? none : this.dead?.[stage.block] ?? inactiveOf(outputs[relu + 1]);
      const counted = `${off.replaceAll("0", "").length} of ${maps} maps ${this.dead ? "dead" : "inactive"}`;
      // Before its ReLU, and once it is normalised, such a map is not 0.
      const grey = ["ReLU", "pool", "average"].includes(stage.kind) ? off : none;
      const caption = `${stage.kind}: ${stage.kind === "ReLU" ? counted : `${maps} maps of ${size} × ${size}`}`;
      return { ...stage, caption, before: outputs[index], maps, height: size, width: size, values, grey };
    });
    return { shares: softmax(logits), stages };
  }
}

const FORWARD = {
  conv: convolve, ReLU: eachBy((value) => Math.max(0, value)), tanh: eachBy(Math.tanh), norm: normalise,
  pool: windowsBy((most, value) => Math.max(most, value)),
  average: windowsBy((sum, value) => sum + value, (sum, count) => sum / count), mean, flatten, linear,
};

// With a border of zeros. The loops run along rows, which is several times as fast as window by window.
function convolve({ maps, size, values }, { weight, bias, kernel, stride, padding }) {
  const side = Math.floor((size + 2 * padding - kernel) / stride) + 1, taps = kernel * kernel;
  const count = bias.length, sums = new Float64Array(count * side * side);
  for (let to = 0; to < count; to++) {
    const target = sums.subarray(to * side * side, (to + 1) * side * side).fill(bias[to]);
    for (let from = 0; from < maps; from++) {
      const source = values.subarray(from * size * size, (from + 1) * size * size);
      for (let tap = 0; tap < taps; tap++) {
        const factor = weight[(to * maps + from) * taps + tap];
        const down = Math.floor(tap / kernel) - padding, right = tap % kernel - padding;
        for (let y = 0; y < side; y++) {
          const row = y * stride + down;
          if (row < 0 || row >= size) continue;
          for (let x = 0; x < side; x++) {
            const column = x * stride + right;
            if (column >= 0 && column < size) target[y * side + x] += factor * source[row * size + column];
          }
        }
      }
    }
  }
  return { maps: count, size: side, values: sums };
}

function eachBy(change) {
  return ({ maps, size, values }) => ({ maps, size, values: values.map(change) });
}

// One value for each window, of all of its values; the windows are squares beside each other.
function windowsBy(join, finish = (joined) => joined) {
  return (before, { length }) => {
    const { maps, size } = before, side = Math.floor(size / length), values = new Float64Array(maps * side * side);
    for (let index = 0; index < values.length; index++) {
      const place = { x: index % side, y: Math.floor(index / side) % side, m: Math.floor(index / (side * side)) };
      const corner = cornerOf(before, place, length);
      let joined = before.values[corner];
      for (let n = 1; n < length * length; n++) joined = join(joined, before.values[corner + inWindow(n, length, size)]);
      values[index] = finish(joined, length * length);
    }
    return { maps, size: side, values };
  };
}

// Where the window of a pooling begins, and value n of it is from there.
function cornerOf({ size }, { m, y, x }, length) { return (m * size + length * y) * size + length * x; }
function inWindow(n, length, size) { return Math.floor(n / length) * size + n % length; }

// The values that a pooling makes one of.
function windowOf(before, place, length) {
  const corner = cornerOf(before, place, length);
  return Array.from({ length: length * length }, (_, n) => before.values[corner + inWindow(n, length, before.size)]);
}

function meanOf(values) { return values.reduce((sum, value) => sum + value, 0) / values.length; }

function mean({ maps, size, values }) {
  const area = size * size, ofMap = (_, m) => meanOf(values.subarray(m * area, (m + 1) * area));
  return { maps, size: 1, values: Float64Array.from({ length: maps }, ofMap) };
}

function flatten({ values }) { return { maps: values.length, size: 1, values }; }

function linear({ values }, { weight, bias }) {
  const count = values.length;
  const ofUnit = (sum, unit) => weight.subarray(unit * count, (unit + 1) * count).reduce((total, factor, index) => total + factor * values[index], sum);
  return { maps: bias.length, size: 1, values: Float64Array.from(bias, ofUnit) };
}

function normalise({ maps, size, values }, { scale, shift }) {
  const area = size * size;
  const normalised = (value, index) => value * scale[Math.floor(index / area)] + shift[Math.floor(index / area)];
  return { maps, size, values: values.map(normalised) };
}

// A 1 for each map that is 0 everywhere.
function inactiveOf({ maps, size, values }) {
  const isZero = (_, m) => Number(values.subarray(m * size * size, (m + 1) * size * size).every((value) => value === 0));
  return Array.from({ length: maps }, isZero).join("");
}

function softmax(logits) {
  const powers = logits.map((logit) => Math.exp(logit - Math.max(...logits)));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

// What made a value of a convolution: for each map before it a window, its weights and the sum of their products.
function windowsOf({ maps, size, values }, { weight, kernel, stride, padding }, { m, x, y }) {
  const taps = kernel * kernel;
  return Array.from({ length: maps }, (_, from) => {
    const weights = Array.from(weight.subarray((m * maps + from) * taps, (m * maps + from + 1) * taps));
    const window = weights.map((_, tap) => {
      const row = y * stride + Math.floor(tap / kernel) - padding, column = x * stride + tap % kernel - padding;
      const isInside = row >= 0 && row < size && column >= 0 && column < size;
      return isInside ? values[(from * size + row) * size + column] : 0;
    });
    return { from, window, weights, sum: window.reduce((sum, value, tap) => sum + value * weights[tap], 0) };
  });
}
