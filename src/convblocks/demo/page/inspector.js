// Shows what made a pixel: its window in the layer before, the weights, and their sum.

const SMALLEST = 3;  // of the smallest grid
const NUMBERS = { 4: "four", 9: "nine" };

class Inspector {
  constructor() {
    const sum = document.getElementById("sum");
    this.grids = ["window", "weights", "products"].map((name, index) => {
      if (index) add(sum, "b", index === 1 ? "×" : "=");
      return add(sum, "div", "", `grid ${name}`);
    });
  }

  // Let each grid have as many rows and columns as the window, at least three.
  resize(length) {
    const side = Math.max(SMALLEST, length);
    if (side === this.side) return;
    this.side = side;
    for (const grid of this.grids) {
      grid.style.gridTemplateColumns = `repeat(${side}, minmax(0, 1fr))`;
      grid.replaceChildren();
      for (let cell = 0; cell < side * side; cell++) add(grid, "span");
    }
  }

  // Of what a stage makes of the maps before it, the value at a place. Returns the window there: its map, corner and
  // length.
  show(stage, place) {
    const { m, y, x } = place, { before } = stage, value = stage.values[(m * stage.height + y) * stage.width + x];
    document.getElementById("where").textContent = `Block ${stage.block + 1} ${stage.kind}, map ${m + 1}, pixel (${x + 1}, ${y + 1})`;
    this.resize(stage.kernel ?? stage.length ?? 1);
    if (stage.kind === "conv") return this.showConvolution(stage, place, value);
    if (stage.length) {
      this.fill(this.spread(windowOf(before, place, stage.length), stage.length), [], []);
      const count = NUMBERS[stage.length ** 2] ?? stage.length ** 2;
      say(`The ${stage.kind === "pool" ? "largest" : "mean"} of ${count}: ${inShort(value)}`);
      return { m, y: stage.length * y, x: stage.length * x, length: stage.length };
    }
    const taken = before.values[(m * before.size + y) * before.size + x];
    this.fill([taken], [], []);
    if (stage.kind === "ReLU") say(`max(0, ${inShort(taken)}) = ${inShort(value)}`);
    else if (stage.kind === "tanh") say(`tanh(${inShort(taken)}) = ${inShort(value)}`);
    else say(`${inShort(taken)} × ${inShort(stage.scale[m])} ${signed(stage.shift[m])} = ${inShort(value)}`);
    return { m, y, x, length: 1 };
  }

  // Of the maps before it, the one that adds or takes most is shown.
  showConvolution(stage, place, value) {
    const found = windowsOf(stage.before, stage, place);
    const most = found.reduce((best, one) => (Math.abs(one.sum) > Math.abs(best.sum) ? one : best));
    const products = most.window.map((entry, tap) => entry * most.weights[tap]);
    this.fill(...[most.window, most.weights, products].map((numbers) => this.spread(numbers, stage.kernel)));
    const bias = stage.bias[place.m], others = value - bias - most.sum;
    const rest = found.length > 1 ? ` ${signed(others)} from ${found.length - 1} other maps` : "";
    const source = found.length > 1 ? `map ${most.from + 1}` : "the image";
    say(`${inShort(most.sum)} from ${source}${rest} ${signed(bias)} bias = ${inShort(value)}`);
    return { m: most.from, y: place.y * stage.stride - stage.padding, x: place.x * stage.stride - stage.padding, length: stage.kernel };
  }

  // The numbers of a square, row by row, at their places in the grid.
  spread(numbers, length) {
    const placed = [];
    numbers.forEach((number, index) => { placed[Math.floor(index / length) * this.side + index % length] = number; });
    return Array.from(placed, (number) => number ?? null);
  }

  // Numbers of window, weights and products; what is missing stays empty.
  fill(...numbers) {
    document.getElementById("sum").className = numbers[1].length ? "" : "plain";
    this.grids.forEach(({ children }, part) => {
      const top = Math.max(...numbers[part].map((value) => Math.abs(value ?? 0)), 1e-9);
      [...children].forEach((cell, index) => paint(cell, numbers[part][index] ?? null, top));
    });
  }
}

function paint(cell, value, top) {
  cell.textContent = value === null ? "" : inShort(value);
  cell.className = value === null ? "none" : "";
  const [red, green, blue] = value === null ? [0, 0, 0] : colourOf(value / top);
  cell.style.backgroundColor = value === null ? "" : `rgb(${red} ${green} ${blue})`;
  // The luminance at which black and white can be read equally well.
  const isLight = 0.2126 * (red / 255) ** 2.2 + 0.7152 * (green / 255) ** 2.2 + 0.0722 * (blue / 255) ** 2.2 > 0.18;
  cell.style.color = value === null ? "" : (isLight ? "black" : "white");
}

function say(text) { document.getElementById("result").textContent = text; }

function inShort(value) { return value.toFixed(2).replace("-0.00", "0.00").replace("-", "−"); }

function signed(value) { return value < 0 ? `− ${inShort(-value)}` : `+ ${inShort(value)}`; }
