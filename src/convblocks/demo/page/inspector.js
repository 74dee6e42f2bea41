// Shows what made a pixel: its window in the layer before, the nine weights, and their sum.

class Inspector {
  constructor() {
    const sum = document.getElementById("sum");
    this.grids = ["window", "weights", "products"].map((name, index) => {
      if (index) add(sum, "b", index === 1 ? "×" : "=");
      const grid = add(sum, "div", "", `grid ${name}`);
      return Array.from({ length: 9 }, () => add(grid, "span"));
    });
  }

  // Of what a stage makes of the maps before it, the value at a place. Returns the window there: its map, corner and
  // length.
  show(stage, place) {
    const { m, y, x } = place, { before } = stage, value = stage.values[(m * stage.height + y) * stage.width + x];
    document.getElementById("where").textContent = `Block ${stage.block + 1} ${stage.kind}, map ${m + 1}, pixel (${x + 1}, ${y + 1})`;
    const index = (row, column) => (m * before.size + row) * before.size + column;
    if (stage.kind === "conv") return this.showConvolution(stage, place, value);
    if (stage.kind === "pool") {
      const values = [0, 1, 2, 3].map((n) => before.values[index(2 * y + Math.floor(n / 2), 2 * x + n % 2)]);
      this.fill([values[0], values[1], null, values[2], values[3]], [], []);
      say(`The largest of four: ${inShort(value)}`);
      return { m, y: 2 * y, x: 2 * x, length: 2 };
    }
    const taken = before.values[index(y, x)];
    this.fill([taken], [], []);
    if (stage.kind === "ReLU") say(`max(0, ${inShort(taken)}) = ${inShort(value)}`);
    else say(`${inShort(taken)} × ${inShort(stage.scale[m])} ${signed(stage.shift[m])} = ${inShort(value)}`);
    return { m, y, x, length: 1 };
  }

  // Of the maps before it, the one that adds or takes most is shown.
  showConvolution(stage, place, value) {
    const found = windowsOf(stage.before, stage, place);
    const most = found.reduce((best, one) => (Math.abs(one.sum) > Math.abs(best.sum) ? one : best));
    this.fill(most.window, most.weights, most.window.map((entry, tap) => entry * most.weights[tap]));
    const bias = stage.bias[place.m], others = value - bias - most.sum;
    const rest = found.length > 1 ? ` ${signed(others)} from ${found.length - 1} other maps` : "";
    const source = found.length > 1 ? `map ${most.from + 1}` : "the image";
    say(`${inShort(most.sum)} from ${source}${rest} ${signed(bias)} bias = ${inShort(value)}`);
    return { m: most.from, y: place.y * stage.stride - 1, x: place.x * stage.stride - 1, length: 3 };
  }

  // Numbers of window, weights and products; what is missing stays empty.
  fill(...numbers) {
    document.getElementById("sum").className = numbers[1].length ? "" : "plain";
    this.grids.forEach((cells, part) => {
      const top = Math.max(...numbers[part].map((value) => Math.abs(value ?? 0)), 1e-9);
      cells.forEach((cell, index) => paint(cell, numbers[part][index] ?? null, top));
    });
  }
}

function paint(cell, value, top) {
  cell.textContent = value === null ? "" : inShort(value);
  cell.className = value === null ? "none" : "";
  const [red, green, blue] = value === null ? [0, 0, 0] : colourOf(value / top);
  cell.style.backgroundColor = value === null ? "" : `rgb(${red} ${green} ${blue})`;
  cell.style.color = value === null ? "" : (0.3 * red + 0.6 * green + 0.1 * blue > 105 ? "black" : "white");
}

function say(text) { document.getElementById("result").textContent = text; }

function inShort(value) { return value.toFixed(2).replace("-0.00", "0.00").replace("-", "−"); }

function signed(value) { return value < 0 ? `− ${inShort(-value)}` : `+ ${inShort(value)}`; }
