// A canvas to draw on. Lengths are fractions of its longer side, so that a drawing looks the same at any resolution.

const PEN = 0.065;
const SENT = 400;  // the longer side of the image that is sent, in pixels
const EMPTY = { picture: null, strokes: [] };

class Pad {
  // paper: the background of the image that is sent; null for black on white, shown in the page's own colours.
  constructor(canvas, width, height, paper, onChange) {
    this.canvas = canvas;
    this.paper = paper;
    this.onChange = onChange;
    this.colour = null;
    this.opening = null;
    this.history = [EMPTY];
    this.isDrawing = false;
    this.width = width / Math.max(width, height);
    this.height = height / Math.max(width, height);
    canvas.style.setProperty("--width", this.width);
    canvas.style.aspectRatio = `${width} / ${height}`;
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.go(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => this.end());
    new ResizeObserver(() => this.show()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.show());
  }

  get state() { return this.history.at(-1); }
  get isEmpty() { return this.state === EMPTY; }
  get hasPicture() { return this.state.picture !== null; }

  begin(event) {
    if (event.button !== 0 || !event.isPrimary) return;
    this.canvas.setPointerCapture(event.pointerId);
    const stroke = { colour: this.colour, points: [this.place(event)] };
    const before = this.state === this.opening ? EMPTY : this.state;
    this.change({ ...before, strokes: [...before.strokes, stroke] });
    this.isDrawing = true;
  }

  go(event) {
    if (!this.isDrawing || !event.isPrimary) return;
    const between = event.getCoalescedEvents?.() ?? [];
    this.state.strokes.at(-1).points.push(...(between.length ? between : [event]).map((one) => this.place(one)));
    this.show();
    this.onChange();
  }

  end() {
    if (!this.isDrawing) return;
    this.isDrawing = false;
    this.onChange();
  }

  // Replace the drawing by strokes, whose points are in 0..100.
  draw(strokes) {
    const scaled = strokes.map((points) => points.map(([x, y]) => [x / 100, y / 100]));
    this.change({ picture: null, strokes: scaled.map((points) => ({ colour: this.colour, points })) });
  }

  // Draw strokes to begin with, which the first stroke by hand replaces.
  open(strokes) {
    this.draw(strokes);
    this.opening = this.state;
  }

  // Replace the drawing by a picture; its file is sent as it is until something is drawn on it.
  put(bitmap, file) { this.change({ picture: bitmap, file, strokes: [] }); }

  clear() {
    if (this.isEmpty) this.onChange();
    else this.change(EMPTY);
  }

  undo() {
    if (this.history.length > 1) this.history.pop();
    this.refresh();
  }

  change(state) {
    if (this.state === this.opening) this.history.pop();
    this.history.push(state);
    this.refresh();
  }

  // Also ends the current stroke, which may be gone.
  refresh() {
    this.isDrawing = false;
    this.show();
    this.onChange();
  }

  // The image to send: a PNG, or the chosen file itself.
  picture() {
    if (this.hasPicture && !this.state.strokes.length) return this.state.file;
    const sheet = new OffscreenCanvas(Math.round(SENT * this.width), Math.round(SENT * this.height));
    this.paint(sheet.getContext("2d"), SENT, this.paper ?? "white", "black");
    return sheet.convertToBlob({ type: "image/png" });
  }

  show() {
    const scale = this.canvas.clientWidth * devicePixelRatio / this.width;
    this.canvas.width = Math.round(scale * this.width);
    this.canvas.height = Math.round(scale * this.height);
    const { backgroundColor, color } = getComputedStyle(this.canvas);
    this.paint(this.canvas.getContext("2d"), scale, this.paper ?? backgroundColor, color);
  }

  paint(brush, scale, paper, ink) {
    fill(brush, paper, this.state.picture);
    brush.setTransform(scale, 0, 0, scale, 0, 0);
    brush.lineWidth = PEN;
    brush.lineCap = brush.lineJoin = "round";
    for (const { colour, points } of this.state.strokes) {
      brush.strokeStyle = colour ?? ink;
      brush.beginPath();
      trace(brush, points);
      brush.stroke();
    }
    brush.resetTransform();
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = box.width / this.width;
    return [(event.clientX - box.left) / scale, (event.clientY - box.top) / scale];
  }
}

// Fill a canvas with paper, or with a picture on white, which is also what the network sees behind transparency.
function fill(brush, paper, picture) {
  brush.fillStyle = picture ? "white" : paper;
  brush.fillRect(0, 0, brush.canvas.width, brush.canvas.height);
  brush.imageSmoothingQuality = "high";
  if (picture) brush.drawImage(picture, 0, 0, brush.canvas.width, brush.canvas.height);
}

// A smooth curve: it runs through the midpoints between neighbouring points, and bends towards the points.
function trace(brush, points) {
  brush.moveTo(...points[0]);
  for (let index = 1; index < points.length - 1; index++) {
    const [x, y] = points[index], [nextX, nextY] = points[index + 1];
    brush.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
  }
  const [x, y] = points.at(-1);
  brush.lineTo(x + 1e-4, y);  // a line of length 0 would not even have its round caps
}
