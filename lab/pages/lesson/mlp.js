// An MLP that trains in a worker: 784 inputs, 100 ReLU units, 10 classes; Adam, batches of 64. The worker is made of
// this function's text, since a page that lies on a disk may not load another file.

function mlpWorker() {
  const INPUTS = 784, UNITS = 100, CLASSES = 10, BATCH = 64;
  const BETA1 = 0.9, BETA2 = 0.999, EPSILON = 1e-8;
  const REPORT = 250, SLICE = 50;  // milliseconds between reports, and of work before messages are read
  const MEAN = 0.1307, STD = 0.3081;

  // Weights and biases lie one behind the other in one array.
  const SIZES = [UNITS * INPUTS, UNITS, CLASSES * UNITS, CLASSES], PARAMETERS = SIZES.reduce((sum, size) => sum + size, 0);
  const parts = (flat) => {
    let start = 0;
    return SIZES.map((size) => flat.subarray(start, start += size));
  };
  const weights = new Float32Array(PARAMETERS), gradient = new Float32Array(PARAMETERS);
  const first = new Float32Array(PARAMETERS), second = new Float32Array(PARAMETERS);  // Adam's averages
  const [inner, innerBias, outer, outerBias] = parts(weights);
  const [toInner, toInnerBias, toOuter, toOuterBias] = parts(gradient);
  const hidden = new Float32Array(UNITS), logits = new Float32Array(CLASSES), error = new Float32Array(UNITS);

  let train, test, random, order, rate = 1e-3, step = 0, timer = null;
  let losses = [];

  onmessage = ({ data }) => {
    if (data.train) [train, test] = [data.train, data.test].map(prepare);
    if ("rate" in data) rate = data.rate;
    if ("seed" in data) reset(data.seed);
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

  // Torch's initial weights and biases: uniform up to one over the root of the inputs.
  function reset(seed) {
    pause();
    random = generator(seed);
    for (const [array, inputs] of [[inner, INPUTS], [innerBias, INPUTS], [outer, UNITS], [outerBias, UNITS]]) {
      array.forEach((_, index) => { array[index] = (2 * random() - 1) / Math.sqrt(inputs); });
    }
    first.fill(0);
    second.fill(0);
    step = 0;
    losses = [];
    order = [];
    report();
  }

  // Mulberry32: from the same seed the same numbers from 0 to 1.
  function generator(state) {
    return () => {
      state = (state + 0x6D2B79F5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    };
  }

  let reported = 0;
  function work() {
    const end = performance.now() + SLICE;
    while (performance.now() < end) losses.push(trainBatch());
    if (performance.now() > reported + REPORT) report();
    timer = setTimeout(work);
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

  function trainBatch() {
    gradient.fill(0);
    let loss = 0;
    for (const index of nextBatch()) loss += learn(train.images.subarray(index * INPUTS, (index + 1) * INPUTS), train.labels[index]);
    update();
    return loss / BATCH;
  }

  function forward(image) {
    for (let unit = 0; unit < UNITS; unit++) {
      let sum = innerBias[unit];
      const start = unit * INPUTS;
      for (let input = 0; input < INPUTS; input++) sum += inner[start + input] * image[input];
      hidden[unit] = sum > 0 ? sum : 0;
    }
    for (let digit = 0; digit < CLASSES; digit++) {
      let sum = outerBias[digit];
      for (let unit = 0; unit < UNITS; unit++) sum += outer[digit * UNITS + unit] * hidden[unit];
      logits[digit] = sum;
    }
  }

  // Add an image's part to the gradient; returns its cross-entropy.
  function learn(image, label) {
    forward(image);
    const top = Math.max(...logits);
    let total = 0;
    for (let digit = 0; digit < CLASSES; digit++) total += Math.exp(logits[digit] - top);
    error.fill(0);
    for (let digit = 0; digit < CLASSES; digit++) {
      const slope = (Math.exp(logits[digit] - top) / total - (digit === label ? 1 : 0)) / BATCH;
      toOuterBias[digit] += slope;
      for (let unit = 0; unit < UNITS; unit++) {
        toOuter[digit * UNITS + unit] += slope * hidden[unit];
        error[unit] += slope * outer[digit * UNITS + unit];
      }
    }
    for (let unit = 0; unit < UNITS; unit++) {
      if (hidden[unit] === 0) continue;  // no gradient gets through here: a unit that is always 0 never changes again
      const slope = error[unit], start = unit * INPUTS;
      toInnerBias[unit] += slope;
      for (let input = 0; input < INPUTS; input++) toInner[start + input] += slope * image[input];
    }
    return Math.log(total) + top - logits[label];
  }

  function update() {
    step += 1;
    const size = rate / (1 - BETA1 ** step), correction = 1 - BETA2 ** step;
    for (let index = 0; index < PARAMETERS; index++) {
      const slope = gradient[index];
      first[index] += (1 - BETA1) * (slope - first[index]);
      second[index] += (1 - BETA2) * (slope * slope - second[index]);
      weights[index] -= size * first[index] / (Math.sqrt(second[index] / correction) + EPSILON);
    }
  }

  // Dead: 0 for all test digits.
  function report() {
    const active = new Uint8Array(UNITS);
    let right = 0;
    test.labels.forEach((label, index) => {
      forward(test.images.subarray(index * INPUTS, (index + 1) * INPUTS));
      right += logits.indexOf(Math.max(...logits)) === label;
      hidden.forEach((value, unit) => { if (value > 0) active[unit] = 1; });
    });
    const loss = losses.length ? losses.reduce((sum, value) => sum + value, 0) / losses.length : null;
    const dead = Array.from(active, (isActive) => 1 - isActive).join("");
    losses = [];
    reported = performance.now();
    postMessage({ step, loss, dead, accuracy: right / test.labels.length, weights: inner.slice() });
  }
}
