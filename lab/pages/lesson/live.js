// The controls of the MLP that trains in a worker, and what it reports.

const FEWEST_STEPS = 200, MOST_POINTS = 600;  // of a chart

class Live {
  // onChange is told of another rate.
  constructor(onChange) {
    this.onChange = onChange;
    this.rate = -3;  // the logarithm, as the slider has it
    this.seed = 1;
    this.isRunning = false;
    this.mosaic = new Mosaic(byId("weights"), 100, 28);
    this.charts = {
      loss: new Chart(byId("live-loss-chart"), LOSS),
      accuracy: new Chart(byId("live-accuracy-chart"), ACCURACY),
    };
    byId("rate").addEventListener("input", (event) => this.setRate(Number(event.target.value)));
    byId("norm").addEventListener("change", () => this.setNorm(byId("norm").checked));
    byId("train").addEventListener("click", () => this.run(!this.isRunning));
    byId("reset").addEventListener("click", () => this.reset());
    document.addEventListener("visibilitychange", () => document.hidden && this.run(false));
  }

  async load() {
    this.setRate(this.rate);
    try {
      const text = [generator, createMLP].join("\n") + `\n(${mlpWorker})()`;
      this.worker = new Worker(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
    } catch {
      return this.giveUp();
    }
    this.worker.onerror = () => this.giveUp();
    this.worker.onmessage = ({ data }) => this.show(data);
    const digits = async ({ labels, pixels }) => ({ labels: Array.from(labels, Number), shades: await unpack(pixels) });
    this.worker.postMessage({ train: await digits(DATA.train), test: await digits(DATA.test), rate: this.shownRate });
    this.reset();
  }

  giveUp() {
    this.worker = null;
    byId("progress").textContent = "Nothing can be trained here: this browser lacks or blocks web workers.";
    for (const control of byId("live").querySelectorAll("input, button")) control.disabled = true;
  }

  get shownRate() { return Number(byId("rate-shown").value); }

  setRate(rate) {
    this.rate = rate;
    byId("rate").value = rate;
    byId("rate-shown").value = byId("rate").ariaValueText = String(Number((10 ** rate).toPrecision(1)));
    this.worker?.postMessage({ rate: this.shownRate });
    this.onChange();
  }

  // With batch normalisation or without, another network trains from its beginning.
  setNorm(hasNorm) {
    const wasRunning = this.isRunning;
    byId("norm").checked = hasNorm;
    this.reset();
    if (wasRunning) this.run(true);
    this.onChange();
  }

  run(isRunning) {
    if (!this.worker) return;
    this.isRunning = isRunning;
    byId("train").textContent = isRunning ? "Pause" : "Start";
    this.worker.postMessage({ run: isRunning });
  }

  // From other initial weights each time.
  reset() {
    this.run(false);
    this.points = [];
    this.worker?.postMessage({ seed: this.seed, hasNorm: byId("norm").checked });
    this.seed += 1;
  }

  show({ step, loss, accuracy, dead, weights }) {
    if (step && loss !== null) this.points.push({ step, loss, accuracy });
    if (this.points.length > MOST_POINTS) this.points = this.points.filter((_, index) => index % 2);
    const count = countDead(dead);
    // Nearly all weights are within three times their root mean square.
    this.mosaic.draw(weights, 3 * Math.sqrt(weights.reduce((sum, weight) => sum + weight ** 2, 0) / weights.length), dead);
    byId("weights").ariaLabel = `${count} of 100 units dead`;
    byId("live-loss").value = loss === null ? "" : loss.toFixed(2);
    byId("live-accuracy").value = percentOf(accuracy);
    const longest = Math.max(FEWEST_STEPS, step), line = (name) => this.points.map((one) => [one.step / longest, one[name]]);
    for (const chart of Object.values(this.charts)) chart.setTimes(roundTimes(longest));
    this.charts.loss.draw(line("loss"), [], `Training loss ${byId("live-loss").value}`);
    this.charts.accuracy.draw(line("accuracy"), [], `Accuracy ${byId("live-accuracy").value}`);
    byId("progress").textContent = step ? progress(step, count, accuracy) : "Press Start.";
  }
}

// Ticks for at most three intervals of a round number of steps.
function roundTimes(longest) {
  const power = 10 ** Math.floor(Math.log10(longest / 3)), every = power * [1, 2, 5, 10].find((size) => longest <= 3 * size * power);
  const steps = Array.from({ length: Math.floor(longest / every) + 1 }, (_, index) => index * every);
  return steps.map((step) => [step / longest, step.toLocaleString("en")]);
}

function progress(step, count, accuracy) {
  const grey = count ? `${count} of 100 units ${count > 1 ? "are" : "is"} dead` : "no unit is dead";
  return `After ${step.toLocaleString("en")} steps ${grey}; ${percentOf(accuracy)} right.`;
}
