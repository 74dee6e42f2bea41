// What data.js holds as text: bytes that zlib has compressed, in base64. No canvas is read, whose pixels some browsers
// alter so that nobody is recognised by them.

async function unpack(text) {
  const compressed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([compressed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// The tensors of a trained network, by their names in torch. A vector is there as it is; of a matrix each weight is a
// byte from -127 to 127, and each row has a factor.
async function unpackWeights({ tensors, vectors, matrices }) {
  const numbers = reader(new Float32Array((await unpack(vectors)).buffer));
  const bytes = reader(new Int8Array((await unpack(matrices)).buffer));
  return Object.fromEntries(tensors.map(([name, [rows, ...sides]]) => {
    if (!sides.length) return [name, numbers(rows)];
    const length = sides.reduce((product, side) => product * side, 1), factors = numbers(rows);
    return [name, Float32Array.from(bytes(rows * length), (value, index) => value * factors[Math.floor(index / length)])];
  }));
}

// A function that takes the next so many values of an array.
function reader(values) {
  let start = 0;
  return (count) => values.subarray(start, start += count);
}
