// The forward passes of the two convolutional networks, layer by layer. A layer's maps lie one behind the other in
// `values`: that of map m, row y and column x is values[(m * size + y) * size + x].

const MEAN = 0.1307, STD = 0.3081, EPSILON = 1e-5;  // those of MNIST, and torch's for batch normalisation
const BLOCKS = 3;

// The stages of the network's blocks, which all have three; each knows its number and that of the block.
function stagesOf(arch, weights) {
  const stages = [];
  for (let block = 0; block < BLOCKS; block++) {
    const part = (layer, name) => weights[`blocks.${block}.${layer}.${name}`];
    const stride = arch === "maxpool" ? 1 : 2;
    stages.push({ kind: "conv", block, stride, weight: part(0, "weight"), bias: part(0, "bias") });
    stages.push({ kind: "ReLU", block });
    stages.push(arch === "maxpool" ? { kind: "pool", block } : { kind: "norm", block, ...scaleAndShift(part) });
  }
  return stages;
}

// Once trained, batch normalisation multiplies each map by one number and adds another.
function scaleAndShift(part) {
  const scale = Float64Array.from(part(2, "weight"), (weight, m) => weight / Math.sqrt(part(2, "running_var")[m] + EPSILON));
  const shift = Float64Array.from(part(2, "bias"), (bias, m) => bias - part(2, "running_mean")[m] * scale[m]);
  return { scale, shift };
}

class Network {
  constructor(arch, weights, dead) {
    this.arch = arch;
    this.stages = stagesOf(arch, weights);
    this.dead = dead;  // of each block a text with a 1 for each dead map, if that was measured
    const head = arch === "maxpool" ? "head.1" : "head.2";
    this.head = { weight: weights[`${head}.weight`], bias: weights[`${head}.bias`] };
  }

  // The output of every stage for an image of 784 values from 0 to 1, the image itself before them, and the logits.
  forward(image) {
    const outputs = [{ maps: 1, size: 28, values: Float64Array.from(image, (value) => (value - MEAN) / STD) }];
    for (const stage of this.stages) outputs.push(FORWARD[stage.kind](outputs.at(-1), stage));
    return { outputs, logits: this.classify(outputs.at(-1)) };
  }

  // What is shown of an image of 784 values 0..255: the probabilities, and the stages with what goes into them.
  look(pixels) {
    const { outputs, logits } = this.forward(Array.from(pixels, (value) => value / 255));
    const stages = this.stages.map((stage, index) => {
      const { maps, size, values } = outputs[index + 1], relu = outputs[3 * stage.block + 2];
      const off = this.dead?.[stage.block] ?? inactiveOf(relu);
      const counted = `${off.replaceAll("0", "").length} of ${maps} maps ${this.dead ? "dead" : "inactive"}`;
      // Before its ReLU, and once it is normalised, such a map is not 0.
      const grey = ["ReLU", "pool"].includes(stage.kind) ? off : "0".repeat(maps);
      const caption = `${stage.kind}: ${stage.kind === "ReLU" ? counted : `${maps} maps of ${size} × ${size}`}`;
      return { ...stage, caption, before: outputs[index], maps, height: size, width: size, values, grey };
    });
    return { shares: softmax(logits), stages };
  }

  classify({ maps, size, values }) {
    const area = size * size;
    const mean = (_, m) => values.subarray(m * area, (m + 1) * area).reduce((sum, value) => sum + value, 0) / area;
    const features = this.arch === "maxpool" ? values : Float64Array.from({ length: maps }, mean);
    return Array.from(this.head.bias, (bias, digit) => {
      const weight = this.head.weight.subarray(digit * features.length, (digit + 1) * features.length);
      return features.reduce((sum, value, index) => sum + value * weight[index], bias);
    });
  }
}

const FORWARD = { conv: convolve, ReLU: rectify, pool, norm: normalise };

// 3 x 3, with a border of zeros. The loops run along rows, which is several times as fast as window by window.
function convolve({ maps, size, values }, { weight, bias, stride }) {
  const side = Math.ceil(size / stride), count = bias.length, sums = new Float64Array(count * side * side);
  for (let to = 0; to < count; to++) {
    const target = sums.subarray(to * side * side, (to + 1) * side * side).fill(bias[to]);
    for (let from = 0; from < maps; from++) {
      const source = values.subarray(from * size * size, (from + 1) * size * size);
      for (let tap = 0; tap < 9; tap++) {
        const factor = weight[(to * maps + from) * 9 + tap], down = Math.floor(tap / 3) - 1, right = tap % 3 - 1;
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

function rectify({ maps, size, values }) {
  return { maps, size, values: values.map((value) => Math.max(0, value)) };
}

function pool({ maps, size, values }) {
  const side = Math.floor(size / 2), largest = new Float64Array(maps * side * side);
  for (let index = 0; index < largest.length; index++) {
    const x = index % side, y = Math.floor(index / side) % side, m = Math.floor(index / (side * side));
    const corner = (m * size + 2 * y) * size + 2 * x;
    largest[index] = Math.max(values[corner], values[corner + 1], values[corner + size], values[corner + size + 1]);
  }
  return { maps, size: side, values: largest };
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

// What made a value of a convolution: for each map before it a window, nine weights and the sum of their products.
function windowsOf({ maps, size, values }, { weight, stride }, { m, x, y }) {
  return Array.from({ length: maps }, (_, from) => {
    const weights = Array.from(weight.subarray((m * maps + from) * 9, (m * maps + from + 1) * 9));
    const window = weights.map((_, tap) => {
      const row = y * stride + Math.floor(tap / 3) - 1, column = x * stride + tap % 3 - 1;
      const isInside = row >= 0 && row < size && column >= 0 && column < size;
      return isInside ? values[(from * size + row) * size + column] : 0;
    });
    return { from, window, weights, sum: window.reduce((sum, value, tap) => sum + value * weights[tap], 0) };
  });
}
