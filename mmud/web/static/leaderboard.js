"use strict";
// Every text on the page is set through textContent: a system's name from a stranger is never read as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";

function make(tag, classes, text) {
  const node = document.createElement(tag);
  if (classes) node.className = classes;
  if (text !== undefined) node.textContent = text;
  return node;
}

function shape(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

const figure = (value) => value === null ? "–" : Math.abs(value) >= 100 ? value.toFixed(1) : value.toFixed(3);
const whole = (value) => value === null ? "–" : value.toLocaleString("en");

function bar(cell, scale) {
  const box = shape("svg", { class: "bar", viewBox: "0 0 150 8", role: "img" });
  const at = (value) => 150 * Math.min(Math.max((value - scale.low) / (scale.high - scale.low || 1), 0), 1);
  box.append(shape("rect", { class: "track", x: 0, y: 3.5, width: 150, height: 1 }));
  if (cell.low !== null) {
    box.append(shape("rect", { class: "interval", x: at(cell.low), y: 0, width: Math.max(at(cell.high) - at(cell.low), 1), height: 8 }));
  }
  box.append(shape("rect", { class: "point", x: Math.max(at(cell.value) - 1.5, 0), y: 0, width: 3, height: 8 }));
  box.setAttribute("aria-label", cell.low === null ? figure(cell.value) : `${figure(cell.low)} to ${figure(cell.high)}`);
  return box;
}

function taskCell(row, task) {
  const cell = row.cells[task.key];
  const node = make("td", "task");
  if (!cell || cell.value === null) {
    node.append(make("span", "none", "–"));
    return node;
  }
  if (cell.value === task.best) node.classList.add("best");
  node.append(make("span", "value", figure(cell.value)), make("span", "range", `rank ${cell.range}`), bar(cell, task.scale));
  for (const text of cell.beneath) node.append(make("div", "authors", text));
  if (row.trainableFor[task.key] !== undefined) node.append(make("div", "authors", `${whole(row.trainableFor[task.key])} trained`));
  if (row.throughput[task.key] !== undefined) node.append(make("div", "authors", `${whole(row.throughput[task.key])} samples/s`));
  return node;
}

const columns = [
  { title: "System", value: (row) => row.name.toLowerCase(), node: (row) => {
    const node = make("td", "system");
    const name = row.page ? make("a", "name", row.name) : make("span", "name", row.name);
    if (row.page) name.href = row.page;
    node.append(name);
    if (row.badge) node.append(" ", make("span", "badge", row.badge));
    if (row.about) node.append(make("div", "authors", row.about));
    if (row.authors) node.append(make("div", "authors", row.authors));
    return node;
  } },
  { title: "Mean rank", number: true, value: (row) => row.meanRank, node: (row) =>
    make("td", "number", row.meanRank === null ? "–" : row.meanRank.toFixed(2)) },
  ...data.tasks.map((task) => ({
    title: task.title, descending: task.higher, value: (row) => row.cells[task.key] ? row.cells[task.key].value : null,
    node: (row) => taskCell(row, task),
  })),
  { title: "Parameters", number: true, value: (row) => row.parameters, node: (row) => make("td", "number", whole(row.parameters)) },
  { title: "Trained", number: true, value: (row) => row.trainable, node: (row) => make("td", "number", whole(row.trainable)) },
];

const table = document.getElementById("board");
let sorted = { column: 1, descending: false };

function compare(a, b) {
  const { value } = columns[sorted.column];
  const [x, y] = [value(a), value(b)];
  // What has no value stays last, whichever way is sorted.
  if (x === null || y === null) return (x === null) - (y === null) || a.place - b.place;
  return (sorted.descending ? -1 : 1) * (x < y ? -1 : x > y ? 1 : 0) || a.place - b.place;
}

function draw() {
  table.replaceChildren();
  const head = make("tr");
  columns.forEach((column, index) => {
    const cell = make("th", column.number ? "number" : "");
    cell.scope = "col";
    if (index === sorted.column) cell.setAttribute("aria-sort", sorted.descending ? "descending" : "ascending");
    const button = make("button", "", column.title);
    button.type = "button";
    button.addEventListener("click", () => {
      const again = index === sorted.column;
      sorted = { column: index, descending: again ? !sorted.descending : Boolean(column.descending) };
      draw();
    });
    cell.append(button);
    head.append(cell);
  });
  const top = make("thead"), body = make("tbody");
  top.append(head);
  for (const row of [...data.ranked].sort(compare)) {
    const line = make("tr", row.marked ? "marked" : "");
    line.append(...columns.map((column) => column.node(row)));
    body.append(line);
  }
  table.append(top, body);
}
draw();

function tile(shown) {
  const node = make("div", shown.reached === true ? "tile reached" : shown.reached === false ? "tile missed" : "tile");
  node.append(make("h3", "", shown.title), make("div", "large", figure(shown.value)));
  if (shown.low !== null) node.append(make("div", "interval", `${figure(shown.low)} – ${figure(shown.high)}`));
  if (shown.note) node.append(make("div", "authors", shown.note));
  if (shown.aim) {
    const verdict = shown.reached === true ? `✓ ${shown.aim}` : shown.reached === false ? `${shown.aim}: not reached` : shown.aim;
    node.append(make("div", "verdict", verdict));
  }
  return node;
}

if (data.tiles.length) {
  const section = document.getElementById("shown");
  section.hidden = false;
  section.querySelector("h2").textContent = data.tilesTitle;
  document.getElementById("tiles").append(...data.tiles.map(tile));
}

if (data.links.length) {
  const line = document.getElementById("links");
  line.hidden = false;
  for (const [title, address] of data.links) {
    const link = make("a", "", title);
    link.href = address;
    line.append(link, " ");
  }
}

if (data.unranked.length) {
  document.getElementById("others").hidden = false;
  for (const row of data.unranked) {
    const item = make("li");
    item.append(make("strong", "", row.name), ` (${row.status}): ${row.reason}`);
    document.getElementById("unranked").append(item);
  }
}
