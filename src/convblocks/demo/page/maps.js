// The maps of a network, stage by stage. Where the page computes them itself, a pixel that is pointed at is explained.

const FIRST = 3;  // the stage whose strongest pixel is explained to begin with: the second convolution

class Maps {
  constructor({ networks, width, height }) {
    this.inspector = new Inspector();
    this.inputMark = document.querySelector("#inspector .mark");
    this.width = width;
    this.height = height;
    this.stages = [];
    this.network = this.selected = null;
    if (networks[0].inside?.dead) byId("grey").textContent = "dead: 0 for every digit";
    this.show(undefined, networks[0]);
  }

  // Stages: see `look` of a network; without, there is nothing to show.
  show(stages, network) {
    byId("flow").classList.toggle("none", !stages);
    byId("no-relu").hidden = stages?.length !== 0;
    for (const part of document.querySelectorAll(".explained")) part.hidden = !network.inside;
    if (!stages) return;
    if (network !== this.network) this.addStages(stages, network);
    stages.forEach((stage, index) => {
      Object.assign(this.stages[index], { stage }).caption.textContent = stage.caption;
      const { values, grey, height, width } = stage, area = height * width;
      const alive = (value, place) => (grey[Math.floor(place / area)] === "1" ? 0 : Math.abs(value));
      const top = values.reduce((highest, value, place) => Math.max(highest, alive(value, place)), 0);
      this.stages[index].mosaic.draw(values, top, grey);
    });
    if (!network.inside) return;
    const { index, place } = this.selected ?? { index: this.first, place: this.strongest(this.first) };
    this.select(index, place);
  }

  addStages(stages, network) {
    this.network = network;
    this.selected = null;
    byId("maps").className = `network${network.colour}`;
    byId("stages").replaceChildren();
    byId("layers").replaceChildren();
    this.stages = stages.map(({ maps, height, width, kind, block, caption: name }, index) => {
      const figure = add(byId("stages"), "figure"), caption = add(figure, "figcaption");
      const frame = add(figure, "div", "", "maps"), canvas = Object.assign(add(frame, "canvas"), { role: "img" });
      const mark = Object.assign(add(frame, "i", "", "mark"), { hidden: true });
      const mosaic = new Mosaic(canvas, maps, height, width);
      canvas.ariaLabel = kind ? `Block ${block + 1}, ${kind}, ${maps} maps; arrow keys choose a pixel` : name;
      if (kind) this.listen(canvas, mosaic, index);
      const tab = add(byId("layers"), "button", kind ? `${block + 1} ${kind}` : name.split(":")[0]);
      Object.assign(tab, { type: "button", role: "tab" });
      tab.addEventListener("click", () => this.open(index));
      return { caption, mosaic, mark, figure, tab };
    });
    this.first = Math.min(FIRST, stages.length - 1);
    this.turnTo(this.first);
  }

  // On a narrow screen a single layer is shown.
  turnTo(index) {
    this.stages.forEach(({ figure, tab }, number) => {
      figure.classList.toggle("shown", number === index);
      tab.ariaSelected = String(number === index);
    });
  }

  // Show a layer, and explain its strongest pixel.
  open(index) {
    this.turnTo(index);
    if (this.network.inside) this.select(index, this.strongest(index));
  }

  listen(canvas, mosaic, index) {
    canvas.tabIndex = 0;
    for (const name of ["pointermove", "pointerdown"]) {
      canvas.addEventListener(name, (event) => this.select(index, mosaic.at(event)));
    }
    canvas.addEventListener("keydown", (event) => this.move(event, index));
    canvas.addEventListener("focus", () => this.selected?.index === index || this.select(index, this.strongest(index)));
  }

  // Where a stage's output is highest.
  strongest(index) {
    const { values, height, width } = this.stages[index].stage;
    const place = values.reduce((best, value, at) => (value > values[best] ? at : best), 0);
    return { m: Math.floor(place / (height * width)), y: Math.floor(place / width) % height, x: place % width };
  }

  move(event, index) {
    const [right, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (!right && !down) return;
    event.preventDefault();
    const { mosaic } = this.stages[index], far = event.shiftKey ? mosaic.height : 1;  // to the next map
    this.select(index, mosaic.next(this.selected.place, far * right, far * down));
  }

  // Explain a pixel, and frame it and what it was made of.
  select(index, place) {
    this.selected = { index, place };
    const window = this.inspector.show(this.stages[index].stage, place);
    for (const { mark } of this.stages) mark.hidden = true;
    this.inputMark.hidden = true;
    this.stages[index].mosaic.frame(this.stages[index].mark, place, 1);
    if (index) this.stages[index - 1].mosaic.frame(this.stages[index - 1].mark, window, window.length);
    else moveTo(this.inputMark, window.x / window.length, window.y / window.length, window.length / this.width, window.length / this.height);
  }
}
