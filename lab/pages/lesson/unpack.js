// What data.js holds as text: bytes that zlib has compressed, in base64. No canvas is read, whose pixels some browsers
// alter so that nobody is recognised by them.

async function unpack(text) {
  const compressed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([compressed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// The tensors of a trained network, by their names in torch.
async function unpackWeights({ tensors, weights }) {
  const flat = new Float32Array((await unpack(weights)).buffer), found = {};
  let start = 0;
  for (const [name, shape] of tensors) {
    const end = start + shape.reduce((product, length) => product * length, 1);
    found[name] = flat.subarray(start, end);
    start = end;
  }
  return found;
}
