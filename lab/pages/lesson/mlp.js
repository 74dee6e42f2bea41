// An MLP that trains in a worker: 784 inputs, 100 ReLU units, batch normalisation if wanted, 10 classes; Adam, batches
// of 64. The worker is made of the text of these functions, since a page that lies on a disk may not load another file.

// Mulberry32: from the same seed the same numbers from 0 to 1.
function generator(state) {
  return () => {
    state = (state + 0x6D2B79F5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

// The network and its optimizer. Images lie one behind the other in one array; so do the units' outputs.
function createMLP(hasNorm, random) {
  const INPUTS = 784, UNITS = 100, CLASSES = 10;
  const BETA1 = 0.9, BETA2 = 0.999, EPSILON = 1e-8;  // Adam's
  const MOMENTUM = 0.1, NORM_EPSILON = 1e-5;  // those of batch normalisation

  // Parameters lie one behind the other in one array.
  const SIZES = { inner: UNITS * INPUTS, innerBias: UNITS, scale: UNITS, shift: UNITS, outer: CLASSES * UNITS, outerBias: CLASSES };
  const PARAMETERS = Object.values(SIZES).reduce((sum, size) => sum + size, 0);
  const parts = (flat) => {
    let start = 0;
    return Object.fromEntries(Object.entries(SIZES).map(([name, size]) => [name, flat.subarray(start, start += size)]));
  };
  const values = new Float32Array(PARAMETERS), gradient = new Float32Array(PARAMETERS);
  const first = new Float32Array(PARAMETERS), second = new Float32Array(PARAMETERS);  // Adam's averages
  const weights = parts(values), slopes = parts(gradient), { inner, innerBias, scale, shift, outer, outerBias } = weights;
  const mean = new Float32Array(UNITS), variance = new Float32Array(UNITS).fill(1);  // running averages
  const logits = new Float32Array(CLASSES);
  let step = 0;

  // Torch's initial weights and biases: uniform up to one over the root of the inputs.
  for (const [name, inputs] of [["inner", INPUTS], ["innerBias", INPUTS], ["outer", UNITS], ["outerBias", UNITS]]) {
    weights[name].forEach((_, index) => { weights[name][index] = (2 * random() - 1) / Math.sqrt(inputs); });
  }
  scale.fill(1);

  // What the units output for each image.
  function activate(images, count) {
    const outputs = new Float32Array(count * UNITS);
    for (let index = 0; index < outputs.length; index++) {
      const unit = index % UNITS, image = (index - unit) / UNITS * INPUTS, start = unit * INPUTS;
      let sum = innerBias[unit];
      for (let input = 0; input < INPUTS; input++) sum += inner[start + input] * images[image + input];
      if (sum > 0) outputs[index] = sum;
    }
    return outputs;
  }

  // Fill `logits` from what one image's units pass on.
  function classify(features) {
    for (let digit = 0; digit < CLASSES; digit++) {
      let sum = outerBias[digit];
      for (let unit = 0; unit < UNITS; unit++) sum += outer[digit * UNITS + unit] * features[unit];
      logits[digit] = sum;
    }
  }

  // Each unit's outputs with a mean of 0 and a variance of 1 over the batch; and the deviations before.
  function standardise(outputs, count) {
    const standard = new Float32Array(outputs.length), deviations = new Float32Array(UNITS);
    for (let unit = 0; unit < UNITS; unit++) {
      let average = 0, square = 0;
      for (let index = unit; index < outputs.length; index += UNITS) average += outputs[index] / count;
      for (let index = unit; index < outputs.length; index += UNITS) square += (outputs[index] - average) ** 2 / count;
      deviations[unit] = Math.sqrt(square + NORM_EPSILON);
      for (let index = unit; index < outputs.length; index += UNITS) standard[index] = (outputs[index] - average) / deviations[unit];
      mean[unit] += MOMENTUM * (average - mean[unit]);
      variance[unit] += MOMENTUM * (square * count / (count - 1) - variance[unit]);
    }
    return { standard, deviations };
  }

  // From the errors after batch normalisation, those before it, in their place.
  function backThroughNorm(errors, { standard, deviations }, count) {
    for (let unit = 0; unit < UNITS; unit++) {
      let toShift = 0, toScale = 0;
      for (let index = unit; index < errors.length; index += UNITS) {
        toShift += errors[index];
        toScale += errors[index] * standard[index];
      }
      slopes.shift[unit] = toShift;
      slopes.scale[unit] = toScale;
      const factor = scale[unit] / deviations[unit];
      for (let index = unit; index < errors.length; index += UNITS) {
        errors[index] = factor * (errors[index] - (toShift + standard[index] * toScale) / count);
      }
    }
  }

  // Add an image's part to the gradient of the last layer, and fill the errors of what it was passed; returns its
  // cross-entropy.
  function learnClasses(features, errors, label, count) {
    classify(features);
    const top = Math.max(...logits);
    let total = 0;
    for (let digit = 0; digit < CLASSES; digit++) total += Math.exp(logits[digit] - top);
    for (let digit = 0; digit < CLASSES; digit++) {
      const slope = (Math.exp(logits[digit] - top) / total - (digit === label ? 1 : 0)) / count;
      slopes.outerBias[digit] += slope;
      for (let unit = 0; unit < UNITS; unit++) {
        slopes.outer[digit * UNITS + unit] += slope * features[unit];
        errors[unit] += slope * outer[digit * UNITS + unit];
      }
    }
    return Math.log(total) + top - logits[label];
  }

  function learnUnits(images, outputs, errors) {
    for (let index = 0; index < outputs.length; index++) {
      if (outputs[index] === 0) continue;  // no gradient gets through here: a unit that is 0 for all images stays as it is
      const unit = index % UNITS, image = (index - unit) / UNITS * INPUTS, start = unit * INPUTS, slope = errors[index];
      slopes.innerBias[unit] += slope;
      for (let input = 0; input < INPUTS; input++) slopes.inner[start + input] += slope * images[image + input];
    }
  }

  function update(rate) {
    step += 1;
    const size = rate / (1 - BETA1 ** step), correction = 1 - BETA2 ** step;
    for (let index = 0; index < PARAMETERS; index++) {
      const slope = gradient[index];
      first[index] += (1 - BETA1) * (slope - first[index]);
      second[index] += (1 - BETA2) * (slope * slope - second[index]);
      values[index] -= size * first[index] / (Math.sqrt(second[index] / correction) + EPSILON);
    }
  }

  // One step of training; returns the loss.
  function train(images, labels, rate) {
    const count = labels.length, outputs = activate(images, count), errors = new Float32Array(outputs.length);
    const norm = hasNorm ? standardise(outputs, count) : null;
    const features = norm ? norm.standard.map((value, index) => value * scale[index % UNITS] + shift[index % UNITS]) : outputs;
    gradient.fill(0);
    let loss = 0;
    labels.forEach((label, index) => {
      const [start, end] = [index * UNITS, (index + 1) * UNITS];
      loss += learnClasses(features.subarray(start, end), errors.subarray(start, end), label, count);
    });
    if (norm) backThroughNorm(errors, norm, count);
    learnUnits(images, outputs, errors);
    update(rate);
    return loss / count;
  }

  // The share of right answers, and a text with a 1 for each unit that is 0 for all images.
  function evaluate(images, labels) {
    const outputs = activate(images, labels.length), active = new Uint8Array(UNITS);
    outputs.forEach((value, index) => { if (value > 0) active[index % UNITS] = 1; });
    const normalised = (value, unit) => (value - mean[unit]) / Math.sqrt(variance[unit] + NORM_EPSILON) * scale[unit] + shift[unit];
    const isRight = (label, index) => {
      const own = outputs.subarray(index * UNITS, (index + 1) * UNITS);
      classify(hasNorm ? own.map(normalised) : own);
      return logits.indexOf(Math.max(...logits)) === label;
    };
    return { accuracy: labels.filter(isRight).length / labels.length, dead: Array.from(active, (isActive) => 1 - isActive).join("") };
  }

  return { weights, mean, variance, train, evaluate };
}

// Trains a network in slices of time, between which it reads messages, and reports.
function mlpWorker() {
  const INPUTS = 784, BATCH = 64;
  const REPORT = 250, SLICE = 50;  // milliseconds between reports, and of work before messages are read
  const MEAN = 0.1307, STD = 0.3081;
  let network, train, test, random, rate = 1e-3, step = 0, order = [], losses = [], timer = null, reported = 0;

  onmessage = ({ data }) => {
    if (data.train) [train, test] = [data.train, data.test].map(prepare);
    if ("rate" in data) rate = data.rate;
    if ("seed" in data) reset(data);
    if (data.run === true && timer === null) timer = setTimeout(work);
    if (data.run === false) pause();
  };

  function pause() {
    clearTimeout(timer);
    timer = null;
  }

  // Shades 0..15 as normalised values.
  function prepare({ shades, labels }) {
    return { images: Float32Array.from(shades, (shade) => (shade / 15 - MEAN) / STD), labels };
  }

  function reset({ seed, hasNorm }) {
    pause();
    random = generator(seed);
    network = createMLP(hasNorm, random);
    step = 0;
    losses = [];
    order = [];
    report();
  }

  function work() {
    const end = performance.now() + SLICE;
    while (performance.now() < end) trainBatch();
    if (performance.now() > reported + REPORT) report();
    timer = setTimeout(work);
  }

  function trainBatch() {
    const chosen = nextBatch(), images = new Float32Array(BATCH * INPUTS);
    chosen.forEach((from, to) => images.set(train.images.subarray(from * INPUTS, (from + 1) * INPUTS), to * INPUTS));
    losses.push(network.train(images, chosen.map((index) => train.labels[index]), rate));
    step += 1;
  }

  function nextBatch() {
    if (order.length < BATCH) {
      order = train.labels.map((_, index) => index);
      for (let index = order.length - 1; index > 0; index--) {
        const other = Math.floor(random() * (index + 1));
        [order[index], order[other]] = [order[other], order[index]];
      }
    }
    return order.splice(-BATCH);
  }

  function report() {
    const loss = losses.length ? losses.reduce((sum, value) => sum + value, 0) / losses.length : null;
    losses = [];
    postMessage({ step, loss, weights: network.weights.inner.slice(), ...network.evaluate(test.images, test.labels) });
    reported = performance.now();
  }
}
