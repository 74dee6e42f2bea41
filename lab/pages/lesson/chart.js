// A small line chart with ticks; lengths are percentages of its sides.

const GUESSING = { loss: Math.log(10), accuracy: 0.1 };  // of ten classes, without a look at the image

// For each chart the highest value that fits, and its ticks. Above it a line leaves the chart, and its highest value is
// written there.
const LOSS = { top: 3, ticks: [[0, "0"], [1, "1"], [2, "2"], [3, "3"]], guess: GUESSING.loss };
const ACCURACY = { top: 1, ticks: [[0, "0"], [0.5, "50\u00a0%"], [1, "100\u00a0%"]], guess: GUESSING.accuracy };

class Chart {
  // Scale: LOSS or ACCURACY.
  constructor(frame, { top, ticks, guess }) {
    this.frame = frame;
    this.top = top;
    this.svg = frame.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "svg"));
    Object.entries({ viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img" }).forEach((pair) => this.svg.setAttribute(...pair));
    for (const [value] of ticks) this.addLine("grid-line", `M0 ${this.height(value)}H100`);
    this.addLine("guess", `M0 ${this.height(guess)}H100`);
    this.line = this.addLine("line", "");
    this.dots = this.addLine("dots", "");
    for (const [value, text] of ticks) add(frame, "small", text, "tick value").style.top = `${this.height(value)}%`;
    // Below its line, where there is room: above may stand the highest value.
    const place = this.height(guess), name = add(frame, "small", "guessing", "guess").style;
    if (place < 50) name.top = `${place}%`; else name.bottom = `calc(${100 - place}% + 0.4rem)`;
    this.beyond = add(frame, "small", "", "beyond");
    this.times = add(frame, "div", "", "times");
  }

  addLine(className, path) {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    line.setAttribute("class", className);
    line.setAttribute("d", path);
    return this.svg.appendChild(line);
  }

  height(value) { return 100 - 96 * value / this.top; }

  // Write the highest value that does not fit beside its peak; returns it in words.
  markBeyond(points) {
    const [peak, highest] = points.reduce((best, point) => (point[1] > best[1] ? point : best), [0, 0]);
    const isBeyond = highest > this.top, [back] = points.find(([x, value]) => x > peak && value <= this.top) ?? [peak];
    this.beyond.textContent = isBeyond ? `↑ ${highest.toFixed(2)}` : "";
    this.beyond.style.left = `${100 * back}%`;
    this.beyond.classList.toggle("late", back > 0.8);
    return isBeyond ? `, at its highest ${highest.toFixed(2)}` : "";
  }

  // Ticks: pairs of a place from 0 to 1 and a number of steps.
  setTimes(ticks) {
    this.times.replaceChildren();
    for (const [place, text] of ticks) add(this.times, "small", text, "tick").style.left = `${100 * place}%`;
    add(this.times, "small", "steps", "unit");
  }

  // Points and dots: pairs of a place from 0 to 1 and a value; words: the chart in words.
  draw(points, dots, words) {
    const places = points.map(([x, value]) => `${(100 * x).toFixed(2)} ${this.height(value).toFixed(2)}`);
    this.line.setAttribute("d", places.length ? `M${places.join("L")}` : "");
    this.dots.setAttribute("d", dots.map(([x, value]) => `M${100 * x} ${this.height(value)}h0`).join(""));
    this.svg.setAttribute("aria-label", words + this.markBeyond(points));
  }
}
