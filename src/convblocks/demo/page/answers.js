// Shows the answers: a card with the best three for each network, one line about all, and a chart of all classes.

const UNSURE = 0.9;  // a network with a lower best probability is unsure
const SHOWN = 3;  // answers on a card

class Answers {
  constructor(setup) {
    this.setup = setup;
    this.hint = `Draw with the mouse or a finger${setup.digits ? "" : ", or choose a picture"}.`;
    this.message = document.getElementById("message");
    this.seen = document.querySelectorAll(".seen");
    this.cards = setup.networks.map((network) => addCard(network, setup));
    this.rows = addChart(setup);
  }

  // Show what the networks are called now.
  rename() {
    const heads = document.querySelectorAll("#shares thead th");
    this.setup.networks.forEach(({ arch, run }, number) => {
      this.cards[number].run.textContent = run;
      heads[number + 1].textContent = `${arch}, ${run}`;
    });
  }

  // Show no answer, and why.
  showNone(reason = this.hint) {
    this.message.textContent = reason;
    for (const canvas of this.seen) canvas.hidden = true;
    this.setup.networks.forEach((_, number) => this.fill(number, null));
  }

  show({ problem, pixels, networks }) {
    if (problem) return this.showNone(`Nothing recognised: ${problem}.`);
    for (const canvas of this.seen) this.drawSeen(canvas, pixels);
    networks.forEach((shares, number) => this.fill(number, shares));
    const best = networks.map((shares) => shares.indexOf(Math.max(...shares)));
    const sentences = [inWords(best.map((index) => this.setup.classes[index]), this.setup.networks)];
    if (networks.some((shares) => Math.max(...shares) < UNSURE)) {
      sentences.push(`A “?” means: less than ${100 * UNSURE}\u00a0% sure.`);
    }
    this.message.textContent = sentences.join(" ");
  }

  // Pixels: the values 0..255 of one channel, or of three, one channel after the other.
  drawSeen(canvas, pixels) {
    const { channels, height, width } = this.setup, area = height * width;
    Object.assign(canvas, { width, height, hidden: false });
    const brush = canvas.getContext("2d"), picture = brush.createImageData(width, height);
    for (let index = 0; index < area; index++) {
      const colour = [0, 1, 2].map((channel) => pixels[index + (channels === 3 ? channel * area : 0)]);
      picture.data.set([...colour, 255], 4 * index);
    }
    brush.putImageData(picture, 0, 0);
  }

  fill(number, shares) {
    const { classes } = this.setup, card = this.cards[number];
    const order = shares ? [...shares.keys()].sort((one, other) => shares[other] - shares[one]) : [];
    const [best] = order;
    card.best.textContent = shares ? classes[best] + (shares[best] < UNSURE ? "?" : "") : "";
    card.rows.forEach(({ name, bar, share }, place) => {
      const index = order[place];
      name.textContent = shares ? classes[index] : "";
      bar.style.width = `${shares ? 100 * shares[index] : 0}%`;
      share.textContent = shares ? percent(shares[index]) : "";
    });
    this.rows.forEach((cells, index) => {
      const { bar, share, cell } = cells[number];
      bar.style.width = `${shares ? 100 * shares[index] : 0}%`;
      share.textContent = shares ? percent(shares[index]) : "";
      cell.classList.toggle("best", index === best);
    });
  }
}

function add(parent, tag, text = "", className = "") {
  const child = parent.appendChild(document.createElement(tag));
  child.textContent = text;
  child.className = className;
  return child;
}

function addCard({ arch, run, colour }, { classes }) {
  const card = add(document.getElementById("cards"), "li", "", `network${colour}`);
  card.classList.toggle("words", classes.some((name) => name.length > 2));
  const best = add(card, "strong"), list = add(card, "ol");
  const rows = classes.slice(0, SHOWN).map(() => {
    const row = add(list, "li");
    return { name: add(row, "span"), bar: add(add(row, "div", "", "bar"), "div"), share: add(row, "span", "", "share") };
  });
  add(card, "b", arch);
  return { best, rows, run: add(card, "small", run) };
}

function addChart({ classes, networks, digits }) {
  const table = document.getElementById("shares");
  const head = table.createTHead().insertRow();
  for (const name of [digits ? "digit" : "class", ...networks.map(({ arch, run }) => `${arch}, ${run}`)]) {
    Object.assign(add(head, "th", name), { scope: "col", role: "columnheader" });
  }
  const body = table.createTBody();
  for (const part of [table.tHead, body]) part.role = "rowgroup";
  const rows = classes.map((name) => {
    const row = body.insertRow();
    Object.assign(add(row, "th", name), { scope: "row", role: "rowheader" });
    return networks.map(({ colour }) => {
      const cell = add(row, "td", "", `network${colour}`);
      cell.role = "cell";
      return { cell, bar: add(add(cell, "div", "", "bar"), "div"), share: add(cell, "span", "", "share") };
    });
  });
  for (const row of table.rows) row.role = "row";
  return rows;
}

function percent(share) {
  if (share < 0.001) return "<0.1\u00a0%";
  return share > 0.999 ? ">99.9\u00a0%" : `${(100 * share).toFixed(1)}\u00a0%`;
}

// Networks of one architecture differ by their runs alone, whose names are long.
function areAlike(networks) { return new Set(networks.map(({ arch }) => arch)).size < networks.length; }

function inWords(names, networks) {
  const different = [...new Set(names)];
  if (different.length > 1 && areAlike(networks)) return `The networks disagree: ${different.join(" or ")}.`;
  if (different.length > 1) return `${names.map((name, number) => `${networks[number].arch} says ${name}`).join(", ")}.`;
  const who = ["The network says", "Both say", "All three say", "All four say"][names.length - 1];
  return `${who} ${names[0]}.`;
}
