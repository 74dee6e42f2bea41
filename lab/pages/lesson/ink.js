// Turns strokes into an image like MNIST's, as ink.py does: the longer side of the digit becomes 20 pixels, strokes are
// as wide as MNIST's, and the centre of mass goes to the middle of 28 x 28.

const SIDE = 28, DIGIT_SIDE = 20, MARGIN = 4, ENLARGED = 8;
const STROKE_WIDTHS = [2.1, 3.0];  // in pixels

// Values 0..255.
function toDigit(strokes) {
  const points = strokes.flatMap((stroke) => stroke.points);
  const [left, right] = range(points.map(([x]) => x)), [top, bottom] = range(points.map(([, y]) => y));
  const length = Math.max(right - left, bottom - top) + PEN;
  const width = Math.min(Math.max(PEN * DIGIT_SIDE / length, STROKE_WIDTHS[0]), STROKE_WIDTHS[1]);
  // The points shrink so that the digit is 20 pixels long with its strokes as wide as they are now.
  const scale = (DIGIT_SIDE - width) / Math.max(length - PEN, 1e-3);
  // Left and upper edge lie between pixels, as if the digit had been cut out.
  const placed = strokes.map((stroke) => stroke.points.map(([x, y]) => {
    return [(x - left) * scale + MARGIN + width / 2, (y - top) * scale + MARGIN + width / 2];
  }));
  return centred(rendered(placed, width));
}

function range(values) { return [Math.min(...values), Math.max(...values)]; }

// Each pixel's share of ink, from an image that is eight times as large.
function rendered(strokes, width) {
  const brush = new OffscreenCanvas(SIDE * ENLARGED, SIDE * ENLARGED).getContext("2d", { willReadFrequently: true });
  brush.setTransform(ENLARGED, 0, 0, ENLARGED, 0, 0);
  brush.lineWidth = width;
  brush.lineCap = brush.lineJoin = "round";
  for (const points of strokes) {
    brush.beginPath();
    trace(brush, points);
    brush.stroke();
  }
  const { data, width: wide } = brush.getImageData(0, 0, SIDE * ENLARGED, SIDE * ENLARGED);
  const image = new Float64Array(SIDE * SIDE);
  for (let index = 3; index < data.length; index += 4) {
    const pixel = (index - 3) / 4, x = Math.floor(pixel % wide / ENLARGED), y = Math.floor(pixel / wide / ENLARGED);
    image[y * SIDE + x] += data[index] / 255 / ENLARGED ** 2;
  }
  return image;
}

function centred(image) {
  let mass = 0, down = 0, right = 0;
  image.forEach((ink, index) => {
    mass += ink;
    right += ink * (index % SIDE);
    down += ink * Math.floor(index / SIDE);
  });
  const [moveX, moveY] = [right, down].map((moment) => Math.round(SIDE / 2 - moment / mass));
  return Float64Array.from(image, (_, index) => {
    const x = index % SIDE - moveX, y = Math.floor(index / SIDE) - moveY;
    const isInside = x >= 0 && x < SIDE && y >= 0 && y < SIDE;
    return isInside ? Math.round(255 * Math.min(1, image[y * SIDE + x])) : 0;
  });
}
