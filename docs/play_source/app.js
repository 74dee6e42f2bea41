// Connects the parts of the page, and keeps their state in its address, so that it can be linked:
// #net=batchnorm&lr=3e-2&run=1&step=300&digit=4&rate=0.1, each of which may be missing. Without a step the run plays.

const NETWORK_CLASSES = { maxpool: "network1", batchnorm: "network2" };
const DEFAULTS = { net: "maxpool", lr: "1e-2", run: "1", digit: "4", rate: "0.001" };

function byId(id) { return document.getElementById(id); }
function radios(name) { return document.querySelectorAll(`input[name=${name}]`); }

class App {
  constructor() {
    const onChange = () => this.save();
    this.collapse = new Collapse(onChange);
    this.inside = new Inside(onChange);
    this.live = new Live(onChange);
    this.isReady = false;
    for (const radio of radios("net")) radio.addEventListener("change", () => this.choose(radio.value));
    addEventListener("hashchange", () => location.hash === this.address || this.open());
  }

  async start() {
    await Promise.all([this.collapse.load(), this.inside.load(), this.live.load()]);
    this.open();
    for (const part of document.querySelectorAll("main, footer")) part.hidden = false;
    document.body.ariaBusy = "false";
  }

  choose(net) {
    this.collapse.choose({ net });
    this.inside.show(net);
    for (const radio of radios("net")) radio.checked = radio.value === net;
  }

  // Show what the address says; what makes no sense there is as if it were missing.
  open() {
    this.isReady = false;
    const asked = new URLSearchParams(location.hash.slice(1));
    const from = (name, options) => (options.includes(asked.get(name)) ? asked.get(name) : DEFAULTS[name]);
    this.collapse.stop();
    this.collapse.state.lr = RATES.indexOf(from("lr", RATES));
    this.collapse.state.run = Number(from("run", ["1", "2"]));
    const step = DATA.steps.map(String).indexOf(asked.get("step"));
    this.collapse.state.step = step < 0 ? DATA.steps.length - 1 : step;
    this.choose(from("net", ARCHITECTURES));
    this.inside.drawSample(Number(from("digit", [..."0123456789"])));
    const rate = Number(asked.get("rate"));
    this.live.setRate(Math.log10(rate >= 1e-4 && rate <= 0.4 ? rate : Number(DEFAULTS.rate)));
    this.isReady = true;
    if (step < 0 && !matchMedia("(prefers-reduced-motion: reduce)").matches) this.collapse.play();
    else this.save();
  }

  save() {
    if (!this.isReady) return;
    const { net, lr, run, step } = this.collapse.state;
    const state = { net, lr: RATES[lr], run };
    if (!this.collapse.isPlaying) state.step = DATA.steps[step];
    if (this.inside.digit !== null) state.digit = this.inside.digit;
    state.rate = byId("rate-shown").value;
    const address = `#${new URLSearchParams(state)}`;
    if (address === this.address) return;
    this.address = address;
    history.replaceState(null, "", address);
  }
}

const app = new App();
app.start();
