// Counts what other thresholds would keep. A candidate's value is one byte per slider: it passes stop k of a lower
// limit exactly when its byte is greater than k, and of an upper limit when it is not.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const whole = bytes(data.whole);
const element = (name, i) => document.getElementById(`${name}-${i}`);
const count = (number) => Math.round(number).toLocaleString("en-US");
const sampled = data.sampled < data.candidates;
const scale = data.sampled ? data.candidates / data.sampled : 1;
const about = sampled ? "about " : "";

const sliders = data.sliders.map((slider, i) => ({
  ...slider, codes: bytes(slider.codes), now: slider.start, input: element("slider", i),
}));
const broken = new Uint8Array(data.rows); // how many limits each candidate breaks with the sliders as they are set

function breaks(slider, row) {
  return slider.side === "min" ? slider.codes[row] <= slider.now : slider.codes[row] > slider.now;
}

function add(slider, sign) {
  for (let row = 0; row < data.rows; row++) if (breaks(slider, row)) broken[row] += sign;
}

// Images that pass every limit: those that were measured completely, one of each group of duplicates, and the others.
function passing() {
  let kept = 0;
  let unmeasured = 0;
  for (let row = 0; row < data.rows; row++) {
    if (broken[row] === 0) whole[row] ? kept++ : unmeasured++;
  }
  const seen = new Set();
  data.members.forEach((row, i) => {
    if (broken[row] || !whole[row]) return;
    if (seen.has(data.groups[i])) kept--;
    seen.add(data.groups[i]);
  });
  return { kept, unmeasured };
}

function describe(slider, i) {
  let dropped = 0;
  let alone = 0;
  for (let row = 0; row < data.rows; row++) {
    if (!breaks(slider, row)) continue;
    dropped++;
    if (broken[row] === 1) alone++;
  }
  const label = slider.labels[slider.now];
  element("value", i).textContent = label;
  element("from", i).textContent = slider.now === slider.start ? "" : `recipe: ${slider.labels[slider.start]}`;
  slider.input.setAttribute("aria-valuetext", label);
  element("says", i).textContent = `${about}${count(dropped * scale)} beyond this limit, ${count(alone * scale)} of them within all others`;
  const mark = element("mark", i);
  mark.style.left = `${slider.places[slider.now]}%`;
  mark.hidden = slider.now === slider.start;
}

// Images on both sides of a slider that was moved: those of the page that this limit alone keeps or drops.
const SIDE_SHOWN = 6;
const borders = sliders.map((slider, i) => element("border", i));
const given = borders.map((border) => border.cloneNode(true).childNodes);

function nearest(pool, passes, stop) {
  const side = pool.filter(([, value]) => passes(value));
  side.sort((one, other) => Math.abs(one[1] - stop) - Math.abs(other[1] - stop));
  return side.slice(0, SIDE_SHOWN);
}

function follow(slider, i) {
  const border = borders[i];
  if (slider.followed === slider.now || (slider.followed === undefined && slider.now === slider.start)) return;
  slider.followed = slider.now;
  const sides = slider.now === slider.start ? null : [true, false].map((beyond) => {
    const stop = slider.stops[slider.now];
    const passes = (value) => (slider.side === "min" ? value < stop : value > stop) === beyond;
    return nearest(data.pools[i], passes, stop);
  });
  if (sides === null) {
    border.replaceChildren(...[...given[i]].map((node) => node.cloneNode(true)));
  } else {
    const sign = slider.side === "min" ? "≥" : "≤";
    [...border.children].forEach((part, number) => {
      const word = number ? "within" : "beyond";
      part.querySelector("h4").textContent = `Just ${word} ${data.gates[slider.gate].field} ${sign} ${slider.labels[slider.now]}, of the images on this page`;
      part.querySelector("ul").replaceChildren(...sides[number].map(([at, value]) => figureAt(at, `${data.gates[slider.gate].field} ${Number(value.toPrecision(4))}`)));
      part.hidden = sides[number].length === 0;
    });
  }
  border.classList.toggle("alone", [...border.children].filter((part) => !part.hidden).length < 2);
}

function figureAt(at, note) {
  const figure = figures.get(String(at)).cloneNode(true);
  const line = figure.querySelector("b") || document.createElement("b");
  line.textContent = note;
  figure.querySelector("figcaption").prepend(line);
  return figure;
}

const figures = new Map();
document.querySelectorAll("li[data-at]").forEach((one) => figures.has(one.dataset.at) || figures.set(one.dataset.at, one));

function gatesAsYaml() {
  const gates = data.gates.map((gate) => ({ ...gate }));
  for (const slider of sliders) gates[slider.gate][slider.side] = slider.stops[slider.now];
  const plain = /^(?!(?:y|n|yes|no|on|off|true|false|null)$)[a-z_]\w*$/; // what YAML reads as that very text
  const word = (value) => (typeof value === "string" && !plain.test(value) ? JSON.stringify(value) : value);
  const line = (gate) => Object.entries(gate).map(([key, value]) => `${key}: ${word(value)}`).join(", ");
  return `gates:\n${gates.map((gate) => `  - {${line(gate)}}`).join("\n")}\n`;
}

function show() {
  const { kept, unmeasured } = passing();
  const change = Math.round((kept - before.kept) * scale);
  const moved = sliders.some((slider) => slider.now !== slider.start);
  const parts = [];
  if (change) parts.push(`${change > 0 ? "+" : "−"}${count(Math.abs(change))}`);
  const more = Math.round((unmeasured - before.unmeasured) * scale);
  if (more > 0) parts.push(`and ${about}${count(more)} to be measured first`);
  document.getElementById("kept").textContent = (moved ? about : "") + count(data.kept + change);
  document.getElementById("change").textContent = parts.join(" ");
  document.getElementById("reset").disabled = !moved;
  document.getElementById("yaml").textContent = gatesAsYaml();
  sliders.forEach(describe);
  sliders.forEach(follow);
  document.dispatchEvent(new Event("changed"));
}

function move(slider, stop) {
  add(slider, -1);
  slider.now = stop;
  slider.input.value = stop;
  add(slider, 1);
}

sliders.forEach((slider) => {
  slider.input.value = slider.start; // browsers may restore an earlier position
  add(slider, 1);
  slider.input.addEventListener("input", () => {
    move(slider, Number(slider.input.value));
    show();
  });
});
document.getElementById("copy").addEventListener("click", async () => {
  const text = document.getElementById("yaml");
  const said = document.getElementById("copied");
  try {
    await navigator.clipboard.writeText(text.textContent);
    said.textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren(text);
    said.textContent = document.execCommand("copy") ? "Copied." : "Selected: press Ctrl-C.";
  }
});
document.getElementById("reset").addEventListener("click", () => {
  sliders.forEach((slider) => move(slider, slider.start));
  show();
});
const before = passing();
document.querySelectorAll("#tally, .slide").forEach((shown) => (shown.hidden = false));
show();
