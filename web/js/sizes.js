/**
 * Sizes and times as the blocks compute them, for what is shown while values are being set.
 * The blocks themselves never ask this file: what it says is a preview, what they say is binding.
 */

/** Frames and pixels per latent cell, and latent cells per token, of the bundled model. */
export const BUNDLED_CELLS = { time: 4, space: 8, patch: 2 };

export const MAX_TOKENS = 4_000_000;

/** Round to the nearest whole number, halves to the even one, as Python does. */
export function round(x) {
  const low = Math.floor(x);
  const rest = x - low;
  if (rest !== 0.5) return Math.round(x);
  return low % 2 ? low + 1 : low;
}

const RATIO = /^(\d+):(\d+)$/;

/** Width and height as they are, or of the same area in an aspect such as "16:9", on whole tokens of `step` pixels. */
export function sized(width, height, aspect, step) {
  const ratio = RATIO.exec(aspect);
  if (!ratio) return [width, height];
  const area = width * height;
  const share = ratio[1] / ratio[2];
  return [Math.sqrt(area * share), Math.sqrt(area / share)].map((side) => Math.max(step, round(side / step) * step));
}

const CUT = 1 / 12;
const ENLARGED = 1.05;

/** Width and height, whole tokens of `step` pixels, that are generated for a video: of nearly its shape. */
export function wholeSize(width, height, step) {
  const up = (side) => Math.ceil(side / step) * step;
  const cut = (w, h, scale) => 1 - (width * height) / (w * h * scale * scale);
  if (cut(up(width), up(height), 1) <= CUT) return [up(width), up(height)];
  const near = (side) => {
    const [least, most] = [Math.max(1, Math.floor(side / step)), Math.ceil(side / step) + 1];
    return Array.from({ length: most - least + 1 }, (_, i) => (least + i) * step);
  };
  let best = null;
  for (const h of near(height)) {
    for (const w of near(width)) {
      const scale = Math.max(height / h, width / w);
      if (scale > ENLARGED) continue;
      const lost = cut(w, h, scale);
      const order = [Math.max(0, lost - CUT), w * h, lost, h, w];
      const differs = best ? order.findIndex((value, i) => value !== best[i]) : 0;
      if (differs >= 0 && (!best || order[differs] < best[differs])) best = order;
    }
  }
  return [best[4], best[3]];
}

/** What a noise grid holds, `held` being the frames of its whole cells; without cells only frames are known, and pixels unless an aspect is rounded to cells. */
export function gridOf({ width, height, aspect, seconds, fps, batch = 1 }, cells) {
  const frames = Math.max(1, round(seconds * fps));
  if (!cells) return { frames, fps, batch, ...(RATIO.test(aspect) ? {} : { width, height }) };
  const step = cells.space * cells.patch;
  const [w, h] = sized(width, height, aspect, step);
  const grid = { frames, width: w, height: h, fps, batch };
  const [wide, high] = wholeSize(w, h, step).map((side) => side / cells.space);
  const latent = [1 + Math.ceil((frames - 1) / cells.time), high, wide];
  const tokens = (latent[0] * latent[1] * latent[2]) / cells.patch ** 2;
  const held = 1 + (latent[0] - 1) * cells.time;
  return { ...grid, latent, held, tokens };
}

/** The frame at a time in seconds; below 0 counts from the end. Null when the video has no such frame. */
export function frameAt(seconds, frames, fps) {
  const frame = seconds >= 0 ? round(seconds * fps) : frames - Math.max(1, round(-seconds * fps));
  return frame >= 0 && frame < frames ? frame : null;
}

const NUMBER = String.raw`(\d+(?:\.\d*)?|\.\d+)`;
const UNIT = String.raw`\s*(?:(?:s|sec|seconds?|秒)\s*)?`;
const LINE = new RegExp(
  String.raw`^[\[［【]\s*${NUMBER}${UNIT}(?:[-－−–—~～]+|至|到)\s*${NUMBER}${UNIT}[\]］】]\s*[:：]?\s*(.*)$`,
  "i",
);

/** Where Python's `splitlines` ends a line. */
const LINE_END = /\r\n|[\n\v\f\r\x1c-\x1e\x85\u2028\u2029]/;

/** A text with the wide digits of Chinese keyboards as usual ones. */
const withUsualDigits = (text) => text.replace(/[０-９]/g, (digit) => digit.normalize("NFKC"));

/** The segments of a prompt timeline up to the first line that does not follow, and that line's number (or 0). */
export function timelineOf(text) {
  const segments = [];
  for (const [i, line] of text.split(LINE_END).entries()) {
    if (!line.trim()) continue;
    const match = LINE.exec(withUsualDigits(line.trim()));
    const [start, end] = match ? [Number(match[1]), Number(match[2])] : [0, 0];
    const expected = segments.at(-1)?.end ?? 0;
    if (!match || !match[3].trim() || end <= start || start !== expected) return { segments, wrong: i + 1 };
    segments.push({ start, end, prompt: match[3].trim() });
  }
  return { segments, wrong: segments.length ? 0 : 1 };
}
