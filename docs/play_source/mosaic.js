// Maps side by side on one canvas, in the demo's scale: 0 is black, the highest value white; what is negative is blue,
// and dead maps are grey.

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
  constructor(canvas, maps, size) {
    this.canvas = canvas;
    this.maps = maps;
    this.size = size;
    this.step = size + 1;  // a gap of a pixel
    this.columns = maps > 64 ? 10 : 8;
    canvas.width = this.columns * this.step - 1;
    canvas.height = Math.ceil(maps / this.columns) * this.step - 1;
    this.brush = canvas.getContext("2d");
    this.picture = this.brush.createImageData(canvas.width, canvas.height);
  }

  // Show values, of which `top` is white; dead: a text with a 1 for each dead map.
  draw(values, top, dead) {
    const { size, step, columns, picture } = this, area = size * size;
    values.forEach((value, index) => {
      const m = Math.floor(index / area), y = Math.floor(index / size) % size, x = index % size;
      const row = Math.floor(m / columns) * step + y, column = m % columns * step + x;
      const share = top > 0 ? Math.max(-1, Math.min(1, value / top)) : 0, place = 4 * (row * picture.width + column);
      picture.data.set(dead[m] === "1" ? GREY : COLOURS[255 + Math.round(255 * share)], place);
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
    const m = Math.floor(row / this.step) * this.columns + Math.floor(column / this.step);
    const inside = (place) => Math.min(place % this.step, this.size - 1);
    return { m: Math.min(m, this.maps - 1), y: inside(row), x: inside(column) };
  }

  // The place one pixel further, over the edges of maps, or the same at the mosaic's edge.
  next({ m, y, x }, right, down) {
    const rows = Math.ceil(this.maps / this.columns);
    const column = m % this.columns * this.size + x + right, row = Math.floor(m / this.columns) * this.size + y + down;
    const isInside = column >= 0 && row >= 0 && column < this.columns * this.size && row < rows * this.size;
    const next = Math.floor(row / this.size) * this.columns + Math.floor(column / this.size);
    return isInside && next < this.maps ? { m: next, y: row % this.size, x: column % this.size } : { m, y, x };
  }

  // Lay a frame over so many pixels, of which some may lie beyond the map's edges.
  frame(element, { m, y, x }, length) {
    const left = m % this.columns * this.step + x, top = Math.floor(m / this.columns) * this.step + y;
    const { width, height } = this.canvas;
    Object.assign(element.style, {
      left: `${100 * left / width}%`,
      top: `${100 * top / height}%`,
      width: `${100 * length / width}%`,
      height: `${100 * length / height}%`,
    });
    element.hidden = false;
  }
}
