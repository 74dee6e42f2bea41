// Connects the parts of the page, and keeps their state in its address, so that it can be linked:
// #net=batchnorm&lr=3e-2&run=1&step=300&digit=4&rate=0.1&norm=1, each of which may be missing. Without a step the run plays.

const NAMES = { maxpool: "MaxPool", batchnorm: "BatchNorm" };
const ARCHITECTURES = Object.keys(NAMES);
const NETWORK_CLASSES = { maxpool: "network1", batchnorm: "network2" };
const DEFAULTS = { net: "maxpool", lr: "1e-2", run: "1", digit: "4", rate: "0.001", norm: "0" };

function radios(name) { return document.querySelectorAll(`input[name=${name}]`); }

// Answers for the run that is chosen, and for the other network at the same rate, without a server.
class BrowserSource {
  constructor() {
    const networks = ARCHITECTURES.map((arch, index) => ({ arch: NAMES[arch], run: "", colour: 1 + index }));
    this.setup = { channels: 1, height: 28, width: 28, classes: [..."0123456789"], digits: true, networks };
  }

  // Choose a run of each network; its network at the end answers.
  async choose(runs) {
    this.runs = runs;
    runs.forEach((run, number) => {
      this.setup.networks[number].run = `${Number(run.lr)}: ${percentOf(run.accuracies.at(-1))} right`;
    });
    this.opening = Promise.all(runs.map((run) => this.open(run)));
    const insides = await this.opening;
    if (runs === this.runs) insides.forEach((inside, number) => { this.setup.networks[number].inside = inside; });
  }

  // Weights are unpacked when they are needed, and once.
  open(run) {
    run.opened ??= unpackWeights(run.weights).then((weights) => new Network(run.layers, weights, run.dead.at(-1)));
    return run.opened;
  }

  async answer(pad, number) {
    await this.opening;
    const pixels = toDigit(pad.state.strokes), looks = this.setup.networks.map(({ inside }) => inside.look(pixels));
    return { pixels, networks: looks.map(({ shares }) => shares), stages: looks[number].stages };
  }
}

class App {
  constructor() {
    this.collapse = new Collapse(() => this.follow());
    this.live = new Live(() => this.save());
    this.source = new BrowserSource();
    this.isReady = false;
  }

  async start() {
    await Promise.all([this.collapse.load(), this.live.load(), this.choose()]);
    this.page = new Page(this.source, () => this.lead());
    this.place();
    matchMedia(WIDE).addEventListener("change", () => this.place());
    addEventListener("hashchange", () => location.hash === this.address || this.open());
    await this.open();
    for (const part of document.querySelectorAll("header, main, footer")) part.hidden = false;
  }

  // On a narrow screen the layers are far from the drawing: they come last.
  place() {
    const isWide = matchMedia(WIDE).matches;
    byId("deeper").hidden = isWide;
    byId(isWide ? "see" : "deeper").append(byId("maps"));
  }

  // The networks that answer are those of the recorded run that is shown.
  follow() {
    const { page, collapse } = this;
    if (page && collapse.run !== this.chosen) {
      page.number = ARCHITECTURES.indexOf(collapse.state.net);
      this.choose();
      page.answers.rename();
      page.show(page.number);
    }
    this.save();
  }

  // The recorded runs are those of the network whose maps are shown.
  lead() {
    const net = ARCHITECTURES[this.page.number];
    if (net !== this.collapse.state.net) this.collapse.choose({ net });
    this.save();
  }

  // The run that is shown, and the other network's first one at the same rate.
  choose() {
    const { run } = this.collapse;
    this.chosen = run;
    const runs = ARCHITECTURES.map((arch) => (arch === run.arch ? run : DATA.runs.find((one) => one.arch === arch && one.lr === run.lr)));
    byId("about-run").textContent = aboutRun(run);
    return this.source.choose(runs);
  }

  // Show what the address says; what makes no sense there is as if it were missing.
  open() {
    this.isReady = false;
    const asked = new URLSearchParams(location.hash.slice(1));
    const from = (name, options) => (options.includes(asked.get(name)) ? asked.get(name) : DEFAULTS[name]);
    this.collapse.stop();
    const step = DATA.steps.map(String).indexOf(asked.get("step")), net = from("net", ARCHITECTURES);
    const state = { net, lr: RATES.indexOf(from("lr", RATES)), run: Number(from("run", ["1", "2"])) };
    this.collapse.choose({ ...state, step: step < 0 ? DATA.steps.length - 1 : step });
    const rate = Number(asked.get("rate"));
    this.live.setRate(Math.log10(rate >= 1e-4 && rate <= 0.4 ? rate : Number(DEFAULTS.rate)));
    if (byId("norm").checked !== (from("norm", ["0", "1"]) === "1")) this.live.setNorm(!byId("norm").checked);
    const shown = this.page.show(ARCHITECTURES.indexOf(net));
    this.page.draw(Number(from("digit", [..."0123456789"])), true);
    this.isReady = true;
    if (step < 0 && !matchMedia("(prefers-reduced-motion: reduce)").matches) this.collapse.play();
    else this.save();
    return shown;
  }

  save() {
    if (!this.isReady) return;
    const { net, lr, run, step } = this.collapse.state;
    const state = { net, lr: RATES[lr], run };
    if (!this.collapse.isPlaying) state.step = DATA.steps[step];
    if (this.page.digit !== null) state.digit = this.page.digit;
    state.rate = byId("rate-shown").value;
    if (byId("norm").checked) state.norm = 1;
    const address = `#${new URLSearchParams(state)}`;
    if (address === this.address) return;
    this.address = address;
    history.replaceState(null, "", address);
  }
}

function aboutRun({ arch, lr, dead, accuracies }) {
  const when = `After its epoch at ${Number(lr)}`, counts = dead.at(-1).map(countDead);
  const block = deadBlock(counts);
  if (!block) return `${when}, ${NAMES[arch]} reads ${percentOf(accuracies.at(-1))} of the digits. Does it read yours?`;
  return `${when}, ${NAMES[arch]}'s block ${block} is dead: nothing of your digit gets through. Whatever you draw, the answer is the same.`;
}

const app = new App();
app.start();
