// Shows the feature maps: a picture for each layer of each network.

import { add } from "./answers.js";

export class Maps {
  constructor(setup, onOpen) {
    this.details = document.getElementById("maps");
    this.layers = document.getElementById("layers");
    this.networks = setup.networks;
    this.details.hidden = !setup.maps;
    this.details.addEventListener("toggle", onOpen);
    this.layers.style.setProperty("--networks", setup.networks.length);
  }

  get isOpen() { return this.details.open; }

  showNone() { this.layers.hidden = true; }

  show({ networks = [] }) {
    this.layers.hidden = !networks.length;
    if (!this.figures) this.figures = networks.map((layers, number) => this.addNetwork(layers, number));
    networks.flat().forEach(({ caption, picture, window }, index) => {
      const { image, text, explain } = this.figures.flat()[index];
      image.onpointermove = image.onpointerdown = window && ((event) => explain(event, window));
      image.src = picture;
      image.alt = text.textContent = caption;
    });
  }

  addNetwork(layers, number) {
    const { arch, run, colour } = this.networks[number];
    const part = add(this.layers, "section", "", `network${colour}`);
    add(add(part, "h2", `${arch} `), "small", run);
    if (!layers.length) add(part, "p", "It has no ReLU.");
    return layers.map(({ width, height, window }) => {
      const figure = add(part, "figure"), text = add(figure, "figcaption");
      const image = Object.assign(add(figure, "img"), { width, height });
      return { text, image, explain: window && addWindow(figure) };
    });
  }
}

// What made the pixel under the mouse: nine pixels of the image, and the weight of each.
function addWindow(figure) {
  const box = add(figure, "div", "", "window"), canvas = Object.assign(add(box, "canvas"), { width: 3, height: 3 });
  const weights = add(box, "div", "", "weights"), text = add(box, "small", "Point at a pixel to see what made it.");
  const cells = Array.from({ length: 9 }, () => add(weights, "span"));
  const seen = document.getElementById("seen");
  return ({ target, offsetX, offsetY }, window) => {
    const { side, gap, every, columns, stride, padding } = window;
    const [x, y] = [offsetX, offsetY].map((at) => at * target.naturalWidth / target.clientWidth);
    const unit = Math.floor(y / (side + gap)) * columns + Math.floor(x / (side + gap));
    const [left, top] = [x, y].map((at) => Math.floor(at % (side + gap) / every));
    if (!window.weights[unit] || Math.max(left, top) * every >= side) return;
    const brush = canvas.getContext("2d");
    brush.fillRect(0, 0, 3, 3);
    brush.drawImage(seen, padding - left * stride, padding - top * stride);
    window.weights[unit].forEach((weight, index) => { cells[index].textContent = weight.toFixed(2); });
    text.textContent = `Map ${unit + 1}, row ${top + 1}, column ${left + 1}: these pixels times these weights, ` +
      "and a bias. Below 0 the ReLU makes it 0.";
  };
}
