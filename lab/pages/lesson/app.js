// Connects the parts of the page, and keeps their state in its address, so that it can be linked:
// #net=batchnorm&lr=3e-2&run=1&step=300&digit=4&rate=0.1, each of which may be missing. Without a step the run plays.

const NAMES = { maxpool: "MaxPool", batchnorm: "BatchNorm" };
const ARCHITECTURES = Object.keys(NAMES);
const NETWORK_CLASSES = { maxpool: "network1", batchnorm: "network2" };
const DEFAULTS = { net: "maxpool", lr: "1e-2", run: "1", digit: "4", rate: "0.001" };

function radios(name) { return document.querySelectorAll(`input[name=${name}]`); }

// Answers for the page's networks without a server.
class BrowserSource {
  async load() {
    const networks = ARCHITECTURES.map(async (arch, index) => {
      const { accuracy, dead, ...packed } = DATA.readers[arch];
      const run = `${percentOf(accuracy)} right after one epoch`;
      return { arch: NAMES[arch], run, colour: 1 + index, inside: new Network(arch, await unpackWeights(packed), dead) };
    });
    const classes = [..."0123456789"];
    this.setup = { channels: 1, height: 28, width: 28, classes, digits: true, networks: await Promise.all(networks) };
  }

  async answer(pad, number) {
    const pixels = toDigit(pad.state.strokes), looks = this.setup.networks.map(({ inside }) => inside.look(pixels));
    return { pixels, networks: looks.map(({ shares }) => shares), stages: looks[number].stages };
  }
}

class App {
  constructor() {
    const onChange = () => this.save();
    this.collapse = new Collapse(onChange);
    this.live = new Live(onChange);
    this.source = new BrowserSource();
    this.isReady = false;
  }

  async start() {
    await Promise.all([this.collapse.load(), this.source.load(), this.live.load()]);
    this.page = new Page(this.source, () => this.follow());
    document.querySelector("header").append(byId("networks"));
    addEventListener("hashchange", () => location.hash === this.address || this.open());
    await this.open();
    for (const part of document.querySelectorAll("header, main, footer")) part.hidden = false;
  }

  // The recorded runs are those of the network whose maps are shown.
  follow() {
    const net = ARCHITECTURES[this.page.number];
    if (net !== this.collapse.state.net) this.collapse.choose({ net });
    this.save();
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
    const address = `#${new URLSearchParams(state)}`;
    if (address === this.address) return;
    this.address = address;
    history.replaceState(null, "", address);
  }
}

const app = new App();
app.start();
