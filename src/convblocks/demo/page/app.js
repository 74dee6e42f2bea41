// Connects the drawing pad, the server and the answers.

import { Answers, add } from "./answers.js";
import { Maps } from "./maps.js";
import { Pad, fill } from "./pad.js";
import { SAMPLES } from "./samples.js";

const OPENING = 3;  // the digit that is drawn to begin with
const MOST_BYTES = 1000000;  // the server's limit
const find = (id) => document.getElementById(id);
const main = find("main"), colour = find("colour"), file = find("file"), heading = find("heading");

let setup, pad, answers, maps;
let isAsking = false, hasChanged = false;

async function start() {
  try {
    setup = await (await fetch("/setup")).json();
  } catch {
    heading.textContent = "The server does not answer.";
    return;
  }
  heading.textContent = setup.digits ? "Draw a digit" : "Draw, or choose a picture";
  document.title = heading.textContent;
  answers = new Answers(setup);
  maps = new Maps(setup, update);
  pad = new Pad(find("drawing"), setup.width, setup.height, setup.digits ? null : paper(), update);
  find("drawing").ariaLabel = "Drawing area";
  const seen = setup.networks.length > 1 ? "What they see" : "What it sees";
  find("size").textContent = `${seen}: ${setup.width} × ${setup.height} pixels`;
  find("frame").style.aspectRatio = `${setup.width} / ${setup.height}`;
  if (setup.digits) addSamples(); else addColours();
  find("clear").addEventListener("click", () => pad.clear());
  find("undo").addEventListener("click", () => pad.undo());
  document.addEventListener("keydown", obey);
  answers.showNone();
  maps.showNone();
  main.hidden = false;
  main.ariaBusy = "false";
  if (setup.digits) pad.open(SAMPLES[OPENING]);
}

function obey(event) {
  const hasModifier = event.ctrlKey || event.metaKey;
  if (event.altKey) return;
  if (event.key === "Escape") pad.clear();
  else if (hasModifier && !event.shiftKey && event.key.toLowerCase() === "z") pad.undo();
  else if (!hasModifier && !event.repeat && setup.digits && SAMPLES[event.key]) pad.draw(SAMPLES[event.key]);
  else return;
  event.preventDefault();
}

function addSamples() {
  find("samples").hidden = false;
  SAMPLES.forEach((strokes, digit) => {
    const button = add(find("digits"), "button", digit);
    Object.assign(button, { type: "button", ariaLabel: `Example ${digit}`, ariaKeyShortcuts: digit });
    button.addEventListener("click", () => pad.draw(strokes));
  });
}

function addColours() {
  find("choice").hidden = false;
  file.addEventListener("change", choose);
  find("pen").hidden = setup.channels === 1;
  const isDark = brightness() < 0.5;
  colour.value = setup.channels === 1 ? (isDark ? "#ffffff" : "#000000") : (isDark ? "#ffd000" : "#d00000");
  colour.addEventListener("input", () => { pad.colour = colour.value; });
  pad.colour = colour.value;
}

// The mean colour of the training images, each channel from 0 to 1: white paper may be unlike all of them.
function mean() { return setup.channels === 1 ? Array(3).fill(setup.mean[0]) : setup.mean; }
function paper() { return `rgb(${mean().map((share) => Math.round(255 * share))})`; }

function brightness() {
  const [red, green, blue] = mean();
  return 0.3 * red + 0.6 * green + 0.1 * blue;
}

async function choose() {
  const [picture] = file.files;
  if (!picture) return;
  main.ariaBusy = "true";
  try {
    const pixels = await createImageBitmap(picture);
    const fits = picture.size <= MOST_BYTES && pixels.width * pixels.height <= setup.most_pixels;
    const isKnown = setup.formats.includes(picture.type);
    pad.put(pixels, fits && isKnown ? picture : await scaledDown(pixels));
  } catch {
    answers.showNone("This browser cannot open that file as a picture.");
    main.ariaBusy = "false";
  }
}

// A JPEG with half the pixels that the server accepts; it has fewer bytes than the server accepts, too.
function scaledDown(pixels) {
  const share = Math.min(1, Math.sqrt(setup.most_pixels / 2 / (pixels.width * pixels.height)));
  const smaller = new OffscreenCanvas(Math.ceil(share * pixels.width), Math.ceil(share * pixels.height));
  fill(smaller.getContext("2d"), "white", pixels);
  return smaller.convertToBlob({ type: "image/jpeg", quality: 0.9 });
}

// One request at a time: strokes drawn meanwhile are sent after the answer. Screen readers wait for the last answer.
async function update() {
  hasChanged = true;
  main.ariaBusy = "true";
  if (!pad.hasPicture) file.value = "";
  if (isAsking) return;
  isAsking = true;
  while (hasChanged) {
    hasChanged = false;
    await recognise();
  }
  isAsking = false;
  main.ariaBusy = String(pad.isDrawing);
}

async function recognise() {
  if (pad.isEmpty) {
    answers.showNone();
    maps.showNone();
    return;
  }
  try {
    const picture = await pad.picture();
    answers.show(await ask("/recognise", picture));
    if (maps.isOpen) maps.show(await ask("/maps", picture));
  } catch (error) {
    answers.showNone(error instanceof TypeError ? "The server does not answer. Is it still running?" : error.message);
  }
}

async function ask(question, picture) {
  const answer = await fetch(question, { method: "POST", body: picture });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

start();
