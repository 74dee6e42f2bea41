// The page: what is drawn or chosen, the networks' answers, and the maps of one network.

const WIDE = "(min-width: 56rem)";  // as in style.css
const LARGEST = 1000000;  // the server's limit for the bytes and the pixels of a picture
const ACCEPTED = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"];  // other types are converted

function byId(id) { return document.getElementById(id); }

class Page {
  // Source has the `setup`, and an `answer` to a drawing; onChange is told when something else was drawn or chosen.
  constructor(source, onChange = () => {}) {
    const { setup } = source;
    this.source = source;
    this.setup = setup;
    this.onChange = onChange;
    this.sample = null;
    this.number = 0;  // of the network whose maps are shown
    this.maps = new Maps(setup);
    this.answers = new Answers(setup);
    this.pad = new Pad(byId("drawing"), setup.width, setup.height, setup.digits ? null : this.paper(), () => this.update());
    this.isAsking = this.hasChanged = false;
    byId("drawing").ariaLabel = "Drawing area";
    byId("frame").style.aspectRatio = `${setup.width} / ${setup.height}`;
    const seen = setup.networks.length > 1 ? "What they see" : "What it sees";
    byId("size").textContent = `${seen}: ${setup.width} × ${setup.height} pixels`;
    if (setup.digits) this.addSamples(); else this.addColours();
    this.addNetworks();
    byId("clear").addEventListener("click", () => this.pad.clear());
    byId("undo").addEventListener("click", () => this.pad.undo());
    byId("maps").open = matchMedia(WIDE).matches;
    byId("maps").addEventListener("toggle", () => this.update());
    document.addEventListener("keydown", (event) => this.obey(event));
  }

  // The digit whose example is shown, or null.
  get digit() { return this.sample?.state === this.pad.state ? this.sample.digit : null; }

  obey(event) {
    const hasModifier = event.ctrlKey || event.metaKey;
    if (event.altKey) return;
    if (event.key === "Escape") this.pad.clear();
    else if (hasModifier && !event.shiftKey && event.key.toLowerCase() === "z") this.pad.undo();
    else if (!hasModifier && !event.repeat && this.setup.digits && SAMPLES[event.key]) this.draw(Number(event.key));
    else return;
    event.preventDefault();
  }

  // Draw an example; the first stroke by hand replaces one that the page opens with.
  draw(digit, isOpening = false) {
    this.pad[isOpening ? "open" : "draw"](SAMPLES[digit]);
    this.sample = { digit, state: this.pad.state };
    this.onChange();
  }

  addSamples() {
    byId("samples").hidden = false;
    SAMPLES.forEach((_, digit) => {
      const button = add(byId("digits"), "button", digit);
      Object.assign(button, { type: "button", ariaLabel: `Example ${digit}`, ariaKeyShortcuts: digit });
      button.addEventListener("click", () => this.draw(digit));
    });
  }

  addColours() {
    const { channels } = this.setup, colour = byId("colour"), isDark = this.brightness() < 0.5;
    byId("choice").hidden = false;
    byId("file").addEventListener("change", () => this.choose());
    byId("pen").hidden = channels === 1;
    colour.value = channels === 1 ? (isDark ? "#ffffff" : "#000000") : (isDark ? "#ffd000" : "#d00000");
    colour.addEventListener("input", () => { this.pad.colour = colour.value; });
    this.pad.colour = colour.value;
  }

  // The mean colour of the training images, each channel from 0 to 1: white paper may be unlike all of them.
  mean() { return this.setup.channels === 1 ? Array(3).fill(this.setup.mean[0]) : this.setup.mean; }
  paper() { return `rgb(${this.mean().map((share) => Math.round(255 * share))})`; }

  brightness() {
    const [red, green, blue] = this.mean();
    return 0.3 * red + 0.6 * green + 0.1 * blue;
  }

  async choose() {
    const [picture] = byId("file").files;
    if (!picture) return;
    byId("main").ariaBusy = "true";
    try {
      const pixels = await createImageBitmap(picture);
      this.pad.put(pixels, isAccepted(picture, pixels) ? picture : await scaledDown(pixels));
    } catch {
      this.answers.showNone("This browser cannot open that file as a picture.");
      byId("main").ariaBusy = "false";
    }
  }

  // Buttons to choose the network whose maps are shown.
  addNetworks() {
    const { networks } = this.setup;
    byId("networks").hidden = networks.length < 2;
    networks.forEach(({ arch, run, colour }, number) => {
      const label = add(byId("networks"), "label", "", `network${colour}`);
      const radio = Object.assign(add(label, "input"), { type: "radio", name: "net", value: number, checked: !number });
      label.append(areAlike(networks) ? `${arch}, ${run}` : arch);
      radio.addEventListener("change", () => this.show(number));
    });
  }

  // Show the maps of another network.
  show(number) {
    this.number = number;
    document.querySelectorAll("input[name=net]")[number].checked = true;
    this.onChange();
    return this.update();
  }

  // One question at a time, and no more than one for each frame: strokes drawn meanwhile are sent after the answer.
  // Screen readers wait for the last answer.
  async update() {
    this.hasChanged = true;
    byId("main").ariaBusy = "true";
    if (!this.pad.hasPicture) byId("file").value = "";
    if (this.isAsking) return;
    this.isAsking = true;
    while (this.hasChanged) {
      this.hasChanged = false;
      await this.ask();
      await new Promise(requestAnimationFrame);
    }
    this.isAsking = false;
    byId("main").ariaBusy = String(this.pad.isDrawing);
  }

  async ask() {
    const { number } = this;
    let answer = null;
    try {
      if (!this.pad.isEmpty) answer = await this.source.answer(this.pad, number);
      if (answer) this.answers.show(answer); else this.answers.showNone();
    } catch (error) {
      this.answers.showNone(error instanceof TypeError ? "The server does not answer. Is it still running?" : error.message);
    }
    this.maps.show(answer?.stages, this.setup.networks[number]);
    this.onChange();
  }
}

function isAccepted(picture, { width, height }) {
  return ACCEPTED.includes(picture.type) && Math.max(picture.size, width * height) <= LARGEST;
}

// A JPEG with half the pixels that the server accepts; it has fewer bytes than the server accepts, too.
function scaledDown(pixels) {
  const share = Math.min(1, Math.sqrt(LARGEST / 2 / (pixels.width * pixels.height)));
  const smaller = new OffscreenCanvas(Math.ceil(share * pixels.width), Math.ceil(share * pixels.height));
  fill(smaller.getContext("2d"), "white", pixels);
  return smaller.convertToBlob({ type: "image/jpeg", quality: 0.9 });
}
