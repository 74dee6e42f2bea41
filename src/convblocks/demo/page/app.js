// The demo: a server answers. Of networks whose weights it sends, the page itself computes the maps.

const OPENING = 3;  // the digit that is drawn to begin with

class ServerSource {
  constructor(setup) {
    this.setup = setup;
    for (const network of setup.networks) {
      if (!network.weights) continue;
      const weights = Object.entries(network.weights).map(([name, values]) => [name, Float32Array.from(values)]);
      network.inside = new Network(network.layers, Object.fromEntries(weights));
    }
  }

  // Where the maps stand open, with the stages of one network.
  async answer(pad, number) {
    const picture = await pad.picture(), { inside } = this.setup.networks[number], { open } = byId("maps");
    const answer = await ask(open && !inside ? "/layers" : "/answer", picture);
    if (!open || answer.problem) return answer;
    return { ...answer, stages: inside ? inside.look(answer.pixels).stages : answer.layers[number].map(asStage) };
  }
}

async function ask(question, picture) {
  const answer = await fetch(question, { method: "POST", body: picture });
  if (!answer.ok) throw new Error(`The server has refused the picture: ${answer.statusText}.`);
  return answer.json();
}

function asStage({ name, shape: [units, high, wide], inactive, shades }) {
  const ofUnits = high * wide === 1 ? `${units} units` : `${units} maps of ${high} × ${wide}`;
  const drawn = shades.length < units ? `, the first ${shades.length} drawn` : "";
  const caption = `${name}: ${ofUnits}, ${inactive.filter(Boolean).length} inactive${drawn}`;
  const height = shades[0].length, width = shades[0][0].length;
  return { caption, maps: shades.length, height, width, values: shades.flat(2), grey: inactive.map(Number).join("") };
}

async function start() {
  let setup;
  try {
    setup = await (await fetch("/setup")).json();
  } catch {
    byId("heading").textContent = "The server does not answer.";
    return;
  }
  byId("heading").textContent = document.title = setup.digits ? "Draw a digit" : "Draw, or choose a picture";
  app = new Page(new ServerSource(setup));
  byId("main").hidden = false;
  if (setup.digits) app.draw(OPENING, true); else app.update();
}

let app;
start();
