// Recorded runs: a slider for the learning rate, one for the time, what is dead by then, and what saves it.

const RATES = ["1e-4", "3e-4", "1e-3", "3e-3", "1e-2", "3e-2"];
const SAFE = RATES.indexOf("1e-3"), DEADLY = RATES.indexOf("1e-2");
const PAUSE = 700;  // milliseconds for each snapshot
const SHOWN_TIMES = [0, 3, 6, 30, 300];  // steps with a tick

class Collapse {
  // onChange is told when another rate, run or time has been chosen.
  constructor(onChange) {
    this.onChange = onChange;
    this.state = { net: "maxpool", lr: 4, run: 1, step: 0 };
    this.timer = null;
    this.mosaic = new Mosaic(byId("watched"), 64, 7);
    this.charts = {
      loss: new Chart(byId("loss-chart"), LOSS),
      accuracy: new Chart(byId("accuracy-chart"), ACCURACY),
    };
    for (const chart of Object.values(this.charts)) chart.setTimes(SHOWN_TIMES.map((step) => [placeOf(step), String(step)]));
    this.addNetworks();
    byId("step").max = DATA.steps.length - 1;
    byId("lr").addEventListener("input", (event) => this.choose({ lr: Number(event.target.value) }));
    byId("step").addEventListener("input", (event) => this.choose({ step: Number(event.target.value) }));
    for (const radio of radios("run")) radio.addEventListener("change", () => this.choose({ run: Number(radio.value) }));
    byId("play").addEventListener("click", () => (this.isPlaying ? this.choose({}) : this.play()));
  }

  addNetworks() {
    for (const [net, name] of Object.entries(NAMES)) {
      const label = add(byId("archs"), "label", "", NETWORK_CLASSES[net]);
      Object.assign(add(label, "input"), { type: "radio", name: "arch", value: net }).addEventListener("change", () => this.choose({ net }));
      label.append(name);
    }
  }

  async load() {
    for (const run of DATA.runs) run.shades = await unpack(run.maps);
    drawDigit(byId("sample"), await unpack(DATA.sample));
  }

  get isPlaying() { return this.timer !== null; }

  // The runs of this network and rate: where there are two, one of them may have collapsed.
  get runs() { return DATA.runs.filter(({ arch, lr }) => arch === this.state.net && lr === RATES[this.state.lr]); }

  get run() { return this.runs[this.state.run - 1]; }

  // Another network, rate or run plays from its beginning if the last one did; a chosen time stands still.
  choose(changes) {
    const wasPlaying = this.isPlaying;
    this.stop();
    Object.assign(this.state, changes);
    this.state.run = Math.min(this.state.run, this.runs.length);
    if (wasPlaying && Object.keys(changes).length && !("step" in changes)) this.play();
    else this.show();
  }

  play() {
    this.stop();
    this.state.step = 0;
    this.timer = setInterval(() => {
      this.state.step += 1;
      if (this.state.step === DATA.steps.length - 1) this.stop();
      this.show();
    }, PAUSE);
    this.show();
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
  }

  show() {
    const { lr, step, net } = this.state, { run } = this;
    const dead = run.dead[step], counts = dead.map(countDead), accuracy = run.accuracies[step];
    const section = byId("collapse");
    section.className = NETWORK_CLASSES[net];
    byId("lr").value = lr;
    byId("step").value = step;
    byId("lr-shown").value = byId("lr").ariaValueText = String(Number(RATES[lr]));
    byId("step-shown").value = byId("step").ariaValueText = timeOf(DATA.steps[step]);
    byId("play").textContent = this.isPlaying ? "Pause" : "Play";
    byId("runs").classList.toggle("unused", this.runs.length < 2);
    for (const radio of radios("arch")) radio.checked = radio.value === net;
    for (const radio of radios("run")) {
      radio.checked = Number(radio.value) === this.state.run;
      radio.disabled = this.runs.length < 2;
    }
    const area = 64 * 49;
    this.mosaic.draw(run.shades.subarray(step * area, (step + 1) * area), 15, dead[1]);
    byId("watched").ariaLabel = `Block 2: ${counts[1]} of 64 units dead`;
    dead.forEach((mask, block) => showUnits(block + 1, mask, counts[block]));
    byId("guess").value = run.answers[step];
    this.drawCharts(run, step);
    byId("verdict").textContent = verdict(counts, accuracy, DATA.steps[step]);
    this.suggest(isDead(counts));
    this.onChange();
  }

  // Buttons: what saves a run that dies, and what kills one that lives. They are there from its beginning, so that
  // nothing moves when it dies.
  suggest(isDead) {
    const { net, lr, step } = this.state, isAtEnd = step === DATA.steps.length - 1, rows = [];
    const other = this.runs.findIndex((run) => run !== this.run);
    if (net === "batchnorm") rows.push(["With MaxPool", { net: "maxpool" }]);
    else if (isDeadAtEnd(this.run)) rows.push(["With BatchNorm", { net: "batchnorm" }], [`Try ${Number(RATES[SAFE])}`, { lr: SAFE }]);
    else if (lr < DEADLY) rows.push([`Try ${Number(RATES[DEADLY])}`, { lr: DEADLY }]);
    if (other >= 0) rows.push([`Run ${other + 1}`, { run: other + 1 }]);
    byId("question").textContent = question(isDead, isAtEnd, net);
    byId("about-norm").hidden = net !== "batchnorm";
    const words = JSON.stringify(rows);
    if (words === this.suggested) return;  // the buttons stay, so that one that is pressed keeps the focus
    this.suggested = words;
    byId("buttons").replaceChildren();
    for (const [text, changes] of rows) {
      const button = Object.assign(add(byId("buttons"), "button", text), { type: "button" });
      button.addEventListener("click", () => this.replay(changes));
    }
  }

  replay(changes) {
    this.choose(changes);
    this.play();
    byId("play").focus({ preventScroll: true });  // the button that was pressed may be gone
  }

  drawCharts(run, step) {
    const past = run.losses.filter(([batch]) => batch <= DATA.steps[step]);
    const loss = past.length ? past.at(-1)[1] : null;
    const accuracies = run.accuracies.slice(0, step + 1).map((value, index) => [index / (DATA.steps.length - 1), value]);
    byId("loss").value = loss === null ? "" : loss.toFixed(2);
    byId("accuracy").value = percentOf(run.accuracies[step]);
    this.charts.loss.draw(past.map(([batch, value]) => [placeOf(batch), value]), [], `Training loss ${byId("loss").value}`);
    this.charts.accuracy.draw(accuracies, accuracies, `Accuracy ${byId("accuracy").value}`);
  }
}

// From 0 to 1: snapshots are equally far from each other.
function placeOf(batch) {
  const after = Math.max(1, DATA.steps.findIndex((step) => step >= batch));
  const [low, high] = DATA.steps.slice(after - 1, after + 1);
  return (after - 1 + (batch - low) / (high - low)) / (DATA.steps.length - 1);
}

function timeOf(step) {
  if (step === DATA.steps.at(-1)) return `${step} steps, one epoch`;
  return step === 1 ? "1 step" : `${step} steps`;
}

function countDead(mask) { return mask.split("1").length - 1; }

function percentOf(share) { return `${(100 * share).toFixed(1)}\u00a0%`; }

// The block of which all units output 0, so that nothing of the image gets through; 0 if there is none.
function deadBlock([, second, third]) { return second === 64 ? 2 : third === 100 ? 3 : 0; }

function isDead(counts) { return deadBlock(counts) > 0; }

function isDeadAtEnd({ dead }) { return isDead(dead.at(-1).map(countDead)); }

function question(isDead, isAtEnd, net) {
  if (isDead) return "What saves it?";
  if (!isAtEnd) return "Or watch:";
  return net === "maxpool" ? "What kills it?" : "And without BatchNorm?";
}

function verdict(counts, accuracy, step) {
  if (step === 0) return "Before training, the network guesses.";
  const block = deadBlock(counts), second = counts[1];
  if (block) return `All ${counts[block - 1]} units of block ${block} are dead: every digit gets the same answer, and no gradient gets through.`;
  const dead = `${second === 0 ? "No unit" : `${second} of 64 units`} of block 2 ${second > 1 ? "are" : "is"} dead`;
  return `${dead}. It reads ${percentOf(accuracy)} of the digits.`;
}

function showUnits(block, mask, count) {
  const [caption, units] = byId(`block${block}`).children;
  while (units.childElementCount < mask.length) add(units, "i");
  [...units.children].forEach((unit, index) => unit.classList.toggle("dead", mask[index] === "1"));
  caption.textContent = `Block ${block}\n${count} dead`;
  units.title = `${count} of the ${mask.length} units of block ${block} are dead`;
}

// A digit of 28 x 28 shades, light on black.
function drawDigit(canvas, shades) {
  Object.assign(canvas, { width: 28, height: 28 });
  const brush = canvas.getContext("2d"), picture = brush.createImageData(28, 28);
  shades.forEach((shade, index) => picture.data.set([17 * shade, 17 * shade, 17 * shade, 255], 4 * index));
  brush.putImageData(picture, 0, 0);
}
