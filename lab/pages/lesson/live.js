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
      loss: new Chart(byId("live-loss-chart"), 3, GUESSING.loss),
      accuracy: new Chart(byId("live-accuracy-chart"), 1, GUESSING.accuracy),
    };
    byId("rate").addEventListener("input", (event) => this.setRate(Number(event.target.value)));
    byId("train").addEventListener("click", () => this.run(!this.isRunning));
    byId("reset").addEventListener("click", () => this.reset());
    document.addEventListener("visibilitychange", () => document.hidden && this.run(false));
  }

  async load() {
    this.worker = new Worker(URL.createObjectURL(new Blob([`(${mlpWorker})()`], { type: "text/javascript" })));
    this.worker.onmessage = ({ data }) => this.show(data);
    const digits = async ({ labels, pixels }) => ({ labels: Array.from(labels, Number), shades: await unpack(pixels) });
    this.worker.postMessage({ train: await digits(DATA.train), test: await digits(DATA.test) });
    this.setRate(this.rate);
    this.reset();
  }

  setRate(rate) {
    this.rate = rate;
    byId("rate").value = rate;
    byId("rate-shown").value = byId("rate").ariaValueText = String(Number((10 ** rate).toPrecision(1)));
    this.worker?.postMessage({ rate: Number(byId("rate-shown").value) });
    this.onChange();
  }

  run(isRunning) {
    this.isRunning = isRunning;
    byId("train").textContent = isRunning ? "Pause" : "Start";
    this.worker.postMessage({ run: isRunning });
  }

  // From other initial weights each time.
  reset() {
    this.run(false);
    this.points = [];
    this.worker.postMessage({ seed: this.seed });
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
    this.charts.loss.draw(line("loss"), [], `Training loss ${byId("live-loss").value}`);
    this.charts.accuracy.draw(line("accuracy"), [], `Accuracy ${byId("live-accuracy").value}`);
    const grey = count ? `${count} of 100 units ${count > 1 ? "are" : "is"} dead` : "all 100 units are alive";
    byId("progress").textContent = step ? `After ${step.toLocaleString("en")} steps ${grey}.` : "Press Start.";
  }
}
