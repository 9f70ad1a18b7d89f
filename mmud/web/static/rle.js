"use strict";
// Masks and colours, for every page that draws them.

// Paul Tol's "bright" and "muted" colours: told apart by people with any colour vision.
const HUES = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee8866", "#44aa99", "#882255", "#999933"];
const hue = (index) => HUES[(index - 1) % HUES.length];
const rgb = (color) => [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16));

// COCO's compressed runs: five bits a character, 0x20 continues, 0x10 of the last is the sign; from the fourth run on the
// number is the difference to the run two before. Runs go down the columns, background first.
function runsOf(counts) {
  const runs = [];
  let at = 0;
  while (at < counts.length) {
    let value = 0, shift = 0, code;
    do {
      code = counts.charCodeAt(at++) - 48;
      value += (code & 31) * 2 ** shift;
      shift += 5;
    } while (code & 32 && at < counts.length);
    if (code & 16) value -= 2 ** shift;
    if (runs.length > 2) value += runs[runs.length - 2];
    if (!(value >= 0)) return [];
    runs.push(value);
  }
  return runs;
}

// A mask as one byte a pixel, row by row, at `scale` of its size: {pixels, width, height, area, box, spot}. `box` is left, top,
// right, bottom (the last two outside); `spot` a pixel in the middle of the mask, inside it whatever its shape.
function planeOf(mask, scale = 1) {
  const [height, width] = mask.size;
  const plane = { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
  const columns = new Int32Array(width).fill(-1);
  for (let x = 0; x < plane.width; x++) columns[Math.min(width - 1, Math.floor((x + 0.5) / scale))] = x;
  const pixels = new Uint8Array(plane.width * plane.height);
  const row = (y) => Math.min(plane.height, Math.max(0, Math.ceil(y * scale - 0.5)));
  let left = plane.width, top = plane.height, right = 0, bottom = 0, area = 0, position = 0, on = false;
  const segments = [];
  for (const run of runsOf(mask.counts)) {
    const end = Math.min(position + run, height * width);
    for (let at = position; on && at < end;) {
      const source = Math.floor(at / height), first = at - source * height;
      const last = Math.min(height, first + end - at);
      at += last - first;
      const x = columns[source], from = row(first), to = row(last);
      if (x < 0 || from >= to) continue;
      for (let i = from * plane.width + x; i < to * plane.width; i += plane.width) pixels[i] = 1;
      segments.push([x, from, to, area]);
      area += to - from;
      left = Math.min(left, x); right = Math.max(right, x + 1); top = Math.min(top, from); bottom = Math.max(bottom, to);
    }
    position = end;
    on = !on;
  }
  const middle = segments.find(([, from, to, before]) => before + to - from > area / 2);
  const spot = middle ? [middle[0], Math.floor((middle[1] + middle[2]) / 2)] : null;
  return { ...plane, pixels, area, box: [left, top, right, bottom], spot };
}

// An object that has a box and no mask, as a plane whose pixels are the box's frame.
function frameOf(box, size, scale = 1) {
  const width = Math.max(1, Math.round(size[1] * scale)), height = Math.max(1, Math.round(size[0] * scale));
  const thick = Math.max(1, Math.round(width / 320));
  const within = (value, most) => Math.min(most, Math.max(0, Math.round(value * scale)));
  const [left, top] = [within(box[0], width), within(box[1], height)];
  const [right, bottom] = [within(box[0] + box[2], width), within(box[1] + box[3], height)];
  const pixels = new Uint8Array(width * height);
  let area = 0;
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const inside = x >= left + thick && x < right - thick && y >= top + thick && y < bottom - thick;
      if (!inside) { pixels[y * width + x] = 1; area++; }
    }
  }
  return { width, height, pixels, area, box: [left, top, right, bottom], spot: area ? [left, top] : null };
}
