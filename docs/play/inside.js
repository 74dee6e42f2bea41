// What is drawn, both networks' answers, and the maps of the chosen network.

const NAMES = { maxpool: "MaxPool", batchnorm: "BatchNorm" };
const ARCHITECTURES = Object.keys(NAMES);

class Inside {
  // onChange is told when an example has been chosen, or something else was drawn.
  constructor(onChange) {
    this.onChange = onChange;
    this.net = "maxpool";
    this.digit = null;
    this.canvas = document.createElement("canvas");
    this.inspector = new Inspector();
    this.inputMark = document.querySelector("#frame .mark");
  }

  async load() {
    this.networks = {};
    for (const arch of ARCHITECTURES) {
      const reader = DATA.readers[arch];
      this.networks[arch] = new Network(arch, await unpackWeights(reader), reader.dead);
    }
    const about = (arch) => `${percentOf(DATA.readers[arch].accuracy)} right after one epoch`;
    const networks = ARCHITECTURES.map((arch, index) => ({ arch: NAMES[arch], run: about(arch), colour: 1 + index }));
    this.answers = new Answers({ classes: [..."0123456789"], digits: true, networks });
    this.pad = new Pad(byId("drawing"), 28, 28, null, () => this.update());
    SAMPLES.forEach((strokes, digit) => {
      const button = add(byId("digits"), "button", digit);
      Object.assign(button, { type: "button", ariaLabel: `Example ${digit}`, ariaKeyShortcuts: digit });
      button.addEventListener("click", () => this.drawSample(digit));
    });
    byId("clear").addEventListener("click", () => this.pad.clear());
    byId("undo").addEventListener("click", () => this.pad.undo());
    document.addEventListener("keydown", (event) => this.obey(event));
  }

  obey(event) {
    const hasModifier = event.ctrlKey || event.metaKey;
    if (event.altKey) return;
    if (event.key === "Escape") this.pad.clear();
    else if (hasModifier && !event.shiftKey && event.key.toLowerCase() === "z") this.pad.undo();
    else if (!hasModifier && !event.repeat && SAMPLES[event.key]) this.drawSample(Number(event.key));
    else return;
    event.preventDefault();
  }

  drawSample(digit) {
    this.pad.draw(SAMPLES[digit]);
    this.digit = digit;
    this.onChange();
  }

  // Also changes the network whose maps are shown.
  show(net) {
    this.net = net;
    byId("inside").className = NETWORK_CLASSES[net];
    this.addStages();
    this.update();
  }

  addStages() {
    const network = this.networks[this.net], { outputs } = network.forward(new Float64Array(784));
    byId("stages").replaceChildren();
    this.stages = network.stages.map((stage, index) => {
      const { maps, size } = outputs[index + 1];
      const figure = add(byId("stages"), "figure", "", `block${stage.block + 1}`);
      add(figure, "figcaption", `${stage.kind}: ${maps} maps of ${size} × ${size}`);
      const frame = add(figure, "div", "", "maps");
      const canvas = Object.assign(add(frame, "canvas"), { tabIndex: 0, role: "img" });
      canvas.ariaLabel = `Block ${stage.block + 1}, ${stage.kind}, ${maps} maps; arrow keys choose a pixel`;
      const mark = Object.assign(add(frame, "i", "", "mark"), { hidden: true });
      const mosaic = new Mosaic(canvas, maps, size);
      for (const name of ["pointermove", "pointerdown"]) {
        canvas.addEventListener(name, (event) => this.select(index, mosaic.at(event)));
      }
      canvas.addEventListener("keydown", (event) => this.move(event, index));
      canvas.addEventListener("focus", () => this.selected?.index === index || this.select(index, this.strongest(index)));
      return { ...stage, mosaic, mark };
    });
    this.selected = null;
  }

  update() {
    if (this.isStale) return;
    this.isStale = true;  // strokes come faster than they can be shown
    requestAnimationFrame(() => this.refresh());
  }

  refresh() {
    this.isStale = false;
    const { strokes } = this.pad.state, isSample = this.digit !== null && sameAs(SAMPLES[this.digit], strokes);
    if (!isSample && this.digit !== null) {
      this.digit = null;
      this.onChange();
    }
    const image = toDigit(strokes);
    if (!image) this.answers.showNone();
    this.outputs = this.networks[this.net].forward(image ?? new Float64Array(784)).outputs;
    if (image) this.answer(image);
    this.drawStages();
    const { index, place } = this.selected ?? { index: 3, place: this.strongest(3) };
    this.select(index, place);
  }

  answer(image) {
    drawDigit(this.canvas, image.map((value) => 15 * value));
    const networks = ARCHITECTURES.map((arch) => softmax(this.networks[arch].forward(image).logits));
    this.answers.show({ seen: this.canvas.toDataURL(), doubt: null, networks });
  }

  drawStages() {
    const dead = this.networks[this.net].dead;
    this.stages.forEach(({ block, mosaic }, index) => {
      const { values } = this.outputs[index + 1];
      const alive = (value, place) => (dead[block][Math.floor(place / mosaic.size ** 2)] === "1" ? 0 : Math.abs(value));
      mosaic.draw(values, values.reduce((top, value, place) => Math.max(top, alive(value, place)), 0), dead[block]);
    });
  }

  // Where a stage's output is highest.
  strongest(index) {
    const { values, size } = this.outputs[index + 1];
    const place = values.reduce((best, value, at) => (value > values[best] ? at : best), 0);
    return { m: Math.floor(place / size ** 2), y: Math.floor(place / size) % size, x: place % size };
  }

  move(event, index) {
    const [right, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (!right && !down) return;
    event.preventDefault();
    const { mosaic } = this.stages[index], far = event.shiftKey ? mosaic.size : 1;  // to the next map
    this.select(index, mosaic.next(this.selected.place, far * right, far * down));
  }

  select(index, place) {
    this.selected = { index, place };
    const window = this.inspector.show(this.stages[index], this.outputs[index], this.outputs[index + 1], place);
    for (const { mark } of this.stages) mark.hidden = true;
    this.inputMark.hidden = true;
    this.stages[index].mosaic.frame(this.stages[index].mark, place, 1);
    if (index) this.stages[index - 1].mosaic.frame(this.stages[index - 1].mark, window, window.length);
    else frameInput(this.inputMark, window);
  }
}

function sameAs(sample, strokes) {
  const points = (all) => JSON.stringify(all);
  return points(sample.map((stroke) => stroke.map(([x, y]) => [x / 100, y / 100]))) === points(strokes.map((one) => one.points));
}

function frameInput(mark, { y, x, length }) {
  const percent = (value) => `${100 * value / 28}%`;
  Object.assign(mark.style, { left: percent(x), top: percent(y), width: percent(length), height: percent(length) });
  mark.hidden = false;
}
