// Maps side by side on one canvas: 0 is black, the highest value white; what is negative is blue,
// and maps that are 0 everywhere are grey.

const POSITIVE = [[0, 0, 0], [213, 94, 0], [240, 228, 66], [255, 255, 255]];
const NEGATIVE = [[0, 0, 0], [0, 114, 178], [86, 180, 233], [230, 246, 255]];
const GREY = [150, 150, 150];

// Share: from -1 to 1.
function colourOf(share) {
  const stops = share < 0 ? NEGATIVE : POSITIVE, place = Math.min(1, Math.abs(share)) * (stops.length - 1);
  const before = Math.min(Math.floor(place), stops.length - 2), part = place - before;
  return stops[before].map((channel, index) => channel + part * (stops[before + 1][index] - channel));
}

// The colours of shares from -255/255 to 255/255: computing them for each pixel would be slow.
const COLOURS = Array.from({ length: 511 }, (_, index) => colourOf((index - 255) / 255));

class Mosaic {
  constructor(canvas, maps, height, width = height) {
    this.canvas = canvas;
    this.maps = maps;
    this.height = height;
    this.width = width;
    this.gap = height * width > 1 ? 1 : 0;
    this.down = height + this.gap;  // from map to map
    this.right = width + this.gap;
    this.columns = Math.min(maps, Math.max(8, Math.ceil(Math.sqrt(maps))));
    this.rows = Math.ceil(maps / this.columns);
    canvas.width = this.columns * this.right - this.gap;
    canvas.height = this.rows * this.down - this.gap;
    this.brush = canvas.getContext("2d");
    this.picture = this.brush.createImageData(canvas.width, canvas.height);
  }

  // Show values, of which `top` is white; grey: a text with a 1 for each grey map.
  draw(values, top, grey) {
    const { height, width, columns, picture } = this, area = height * width;
    values.forEach((value, index) => {
      const m = Math.floor(index / area), y = Math.floor(index / width) % height, x = index % width;
      const row = Math.floor(m / columns) * this.down + y, column = m % columns * this.right + x;
      const share = top > 0 ? Math.max(-1, Math.min(1, value / top)) : 0, place = 4 * (row * picture.width + column);
      picture.data.set(grey[m] === "1" ? GREY : COLOURS[255 + Math.round(255 * share)], place);
      picture.data[place + 3] = 255;
    });
    this.brush.putImageData(picture, 0, 0);
  }

  // Map, row and column below a pointer.
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const limit = (share, length) => Math.max(0, Math.min(length - 1, Math.floor(share * length)));
    const column = limit((event.clientX - box.left) / box.width, this.canvas.width);
    const row = limit((event.clientY - box.top) / box.height, this.canvas.height);
    const m = Math.floor(row / this.down) * this.columns + Math.floor(column / this.right);
    const y = Math.min(row % this.down, this.height - 1), x = Math.min(column % this.right, this.width - 1);
    return { m: Math.min(m, this.maps - 1), y, x };
  }

  // The place one pixel further, over the edges of maps, or the same at the mosaic's edge.
  next({ m, y, x }, right, down) {
    const { height, width, columns } = this;
    const column = m % columns * width + x + right, row = Math.floor(m / columns) * height + y + down;
    const isInside = column >= 0 && row >= 0 && column < columns * width && row < this.rows * height;
    const next = Math.floor(row / height) * columns + Math.floor(column / width);
    return isInside && next < this.maps ? { m: next, y: row % height, x: column % width } : { m, y, x };
  }

  // Lay a frame over so many pixels, of which some may lie beyond the map's edges.
  frame(element, { m, y, x }, length) {
    const left = m % this.columns * this.right + x, top = Math.floor(m / this.columns) * this.down + y;
    const { width, height } = this.canvas;
    moveTo(element, left / length, top / length, length / width, length / height);
  }
}

// Lay an element over a part of its parent: its place in its own lengths, and its lengths in its parent's.
function moveTo(element, right, down, width, height) {
  const percent = (share) => `${100 * share}%`;
  Object.assign(element.style, { width: percent(width), height: percent(height), translate: `${percent(right)} ${percent(down)}` });
  element.hidden = false;
}
