// The image with its masks: one fill and outline an object, one of them lit at a time; predictions as outlines over the labels.
function make(tag, classes, text) {
  const node = document.createElement(tag);
  if (classes) node.className = classes;
  if (text !== undefined) node.textContent = text;
  return node;
}
export { make };

export class Picture {
  // `on.point(object)` when the pointer is over an object, 0 outside; `on.pick(object)` when it is clicked.
  constructor(frame, on) {
    this.frame = frame;
    this.canvas = make("canvas");
    this.context = this.canvas.getContext("2d");
    this.shown = new Set(["labels"]);
    this.masks = true;
    this.lit = 0;
    this.badges = [];
    this.canvas.addEventListener("mousemove", (event) => on.point(this.at(event)));
    this.canvas.addEventListener("mouseleave", () => on.point(0));
    // The words that are selected stay selected: a click on the object is what tags them.
    this.canvas.addEventListener("mousedown", (event) => event.preventDefault());
    this.canvas.addEventListener("click", (event) => on.pick(this.at(event)));
  }

  show(entry) {
    this.entry = entry;
    this.lit = 0;
    const [height, width] = entry.record.size;
    this.frame.classList.toggle("small", width < 300);
    const first = entry.layers[0].planes.find(Boolean);
    this.canvas.width = first ? first.width : width;
    this.canvas.height = first ? first.height : height;
    this.badges = entry.layers[0].planes.map((plane, index) => (plane && plane.spot ? this.badge(plane, index + 1) : null));
    if (entry.trouble) {
      this.frame.replaceChildren(make("div", "noimage", entry.trouble));
      return;
    }
    entry.image.alt = `image of sample ${entry.record.id}`;
    // A small image is enlarged, so that its objects can be pointed at; a large one takes the room that there is.
    entry.image.style.width = width < 300 ? `${Math.min(480, width * 6)}px` : "";
    this.frame.replaceChildren(entry.image, this.canvas, ...this.badges.filter(Boolean));
    this.draw();
  }

  badge(plane, index) {
    const node = make("span", "badge", String(index));
    node.style.setProperty("--hue", hue(index));
    node.style.left = `${(100 * (plane.spot[0] + 0.5)) / plane.width}%`;
    node.style.top = `${(100 * (plane.spot[1] + 0.5)) / plane.height}%`;
    return node;
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width) * this.canvas.width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * this.canvas.height);
    let best = 0;
    const planes = this.entry.layers[0].planes;
    planes.forEach((plane, index) => {
      if (plane && plane.pixels[y * plane.width + x] && (!best || plane.area < planes[best - 1].area)) best = index + 1;
    });
    return best;
  }

  light(index) {
    if (index === this.lit) return;
    this.lit = index;
    this.draw();
  }

  draw() {
    const { width, height } = this.canvas;
    const image = this.context.createImageData(width, height);
    const words = new Uint32Array(image.data.buffer);
    if (this.lit) words.fill(0x60000000);
    for (const layer of this.entry.layers) {
      if (!this.shown.has(layer.name)) continue;
      layer.planes.forEach((plane, index) => {
        if (!plane || (this.lit ? this.lit !== index + 1 : !this.masks)) return;
        if (layer.system === undefined) fill(words, plane, hue(index + 1), Boolean(this.lit));
        else stroke(words, plane, hue(index + 1), layer.system > 0);
      });
    }
    this.context.putImageData(image, 0, 0);
    this.badges.forEach((node, index) => {
      if (!node) return;
      node.hidden = !this.masks && !this.lit;
      node.classList.toggle("dim", Boolean(this.lit) && this.lit !== index + 1);
    });
  }
}

const colour = ([red, green, blue], alpha) => ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;

// How far out an edge is looked for, so that it is about as thick on every size of picture.
const reach = (plane) => Math.max(1, Math.round(plane.width / 480));

function isEdge(plane, x, y, far) {
  const { pixels, width, height } = plane;
  if (x < far || y < far || x >= width - far || y >= height - far) return true;
  const at = y * width + x;
  return !(pixels[at - far] && pixels[at + far] && pixels[at - far * width] && pixels[at + far * width]);
}

function fill(words, plane, color, lit) {
  const far = reach(plane), edge = colour(rgb(color), 255);
  // Where one object is lit it alone is in full light, with a hint of its colour.
  const inside = colour(rgb(color), lit ? 40 : 95);
  const [left, top, right, bottom] = plane.box;
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const at = y * plane.width + x;
      if (plane.pixels[at]) words[at] = isEdge(plane, x, y, far) ? edge : inside;
    }
  }
}

// A system's mask: an outline with a light rim, dashed for every system but the first.
function stroke(words, plane, color, dashed) {
  const far = 2 * reach(plane), line = colour(rgb(color), 255), rim = 0xffffffff;
  const [left, top, right, bottom] = plane.box;
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const at = y * plane.width + x;
      if (!plane.pixels[at] || !isEdge(plane, x, y, far)) continue;
      if (dashed && (x + y) % (8 * far) < 3 * far) continue;
      words[at] = isEdge(plane, x, y, Math.max(1, far >> 1)) ? rim : line;
    }
  }
}
