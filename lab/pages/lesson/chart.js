// A small line chart; lengths are percentages of its sides.

const GUESSING = { loss: Math.log(10), accuracy: 0.1 };  // of ten classes, without a look at the image

class Chart {
  // Top: the highest value that fits; guess: where a line says what guessing gives.
  constructor(svg, top, guess) {
    this.svg = svg;
    this.top = top;
    Object.entries({ viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img" }).forEach((pair) => svg.setAttribute(...pair));
    this.addLine("guess", `M0 ${this.height(guess)}H100`);
    this.line = this.addLine("line", "");
    this.dots = this.addLine("dots", "");
    const label = add(svg.parentElement, "small", "guessing", "guess");
    label.style.bottom = `${100 - this.height(guess)}%`;
  }

  addLine(className, path) {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    line.setAttribute("class", className);
    line.setAttribute("d", path);
    return this.svg.appendChild(line);
  }

  height(value) { return 100 - 96 * Math.min(1, value / this.top); }

  // Points and dots: pairs of a place from 0 to 1 and a value; words: the chart in words.
  draw(points, dots, words) {
    const places = points.map(([x, value]) => `${(100 * x).toFixed(2)} ${this.height(value).toFixed(2)}`);
    this.line.setAttribute("d", places.length ? `M${places.join("L")}` : "");
    this.dots.setAttribute("d", dots.map(([x, value]) => `M${100 * x} ${this.height(value)}h0`).join(""));
    this.svg.setAttribute("aria-label", words);
  }
}
