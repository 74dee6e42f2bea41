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
    networks.flat().forEach(({ caption, picture }, index) => {
      const { image, text } = this.figures.flat()[index];
      image.src = picture;
      image.alt = text.textContent = caption;
    });
  }

  addNetwork(layers, number) {
    const part = add(this.layers, "section", "", `network${number}`);
    const { arch, run } = this.networks[number];
    add(add(part, "h2", `${arch} `), "small", run);
    if (!layers.length) add(part, "p", "It has no ReLU.");
    return layers.map(({ width, height }) => {
      const figure = add(part, "figure"), text = add(figure, "figcaption");
      return { text, image: Object.assign(add(figure, "img"), { width, height }) };
    });
  }
}
