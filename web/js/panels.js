/** What each block shows below its widgets: functions from a node to the elements of its panel. */

import { isConnected, outputOf, upstream, valueOf, setValue, widgetOf } from "./graph.js";
import { playerOf } from "./preview.js";
import { BUNDLED_CELLS, MAX_TOKENS, frameAt, gridOf, round, timelineOf } from "./sizes.js";
import { aspectPicker, hint, line, passage, ruler, short, strip } from "./strips.js";
import { secondsFor } from "./timing.js";

const BUNDLED = /\(bundled\)$/;

/** The cells of the VAE that a node is connected to, where they are known without asking the server. */
function cellsOf(node) {
  const loader = upstream(node, "vae");
  const checkpoint = loader?.comfyClass === "SoraLoadModel" ? valueOf(loader, "checkpoint") : "";
  return BUNDLED.test(checkpoint) ? BUNDLED_CELLS : null;
}

/** What a noise grid will hold; null when a connected value decides that. */
export function sizeOf(node) {
  const asked = Object.fromEntries(
    ["width", "height", "aspect", "seconds", "fps", "batch"].map((name) => [name, valueOf(node, name)]),
  );
  return Object.values(asked).includes(undefined) ? null : gridOf(asked, cellsOf(node));
}

/** The noise grid at the beginning of a chain of latents, and the blocks on the way to it. */
function chainOf(node) {
  const passed = [];
  for (let here = node; here && passed.length < 64; here = upstream(here, "latent")) {
    if (here.comfyClass === "SoraNoiseGrid") return { grid: sizeOf(here), passed };
    passed.push(here);
  }
  return { grid: null, passed };
}

function noiseGrid(node, words) {
  const choices = widgetOf(node, "aspect")?.options?.values ?? [];
  const choose = (aspect) => setValue(node, "aspect", aspect);
  const picker = aspectPicker([...choices], valueOf(node, "aspect"), words.aspect, choose, isConnected(node, "aspect"));
  const grid = sizeOf(node);
  if (!grid) return [picker, line(words.connected)];
  let text = words.frames(grid.frames);
  if (grid.width) text = words.of(text, grid.width, grid.height);
  if (grid.latent) text += ` → ${words.latents(grid.latent, grid.tokens.toLocaleString("en"))}`;
  const seconds = grid.latent && secondsFor(node, grid);
  if (seconds) text += `, ${words.about(seconds < 10 ? Number(seconds.toPrecision(1)) : Math.round(seconds))}`;
  const tooLarge = grid.tokens > MAX_TOKENS;
  return [picker, line(tooLarge ? `${text}: ${words.tooLarge(MAX_TOKENS.toLocaleString("en"))}` : text)];
}

/** Frames per second at each block of a chain: its own or what it is handed; undefined where that is not known yet. */
function ratesOf({ grid, passed }) {
  const rates = [];
  let rate = grid?.fps;
  for (const block of [...passed].reverse()) {
    const own = widgetOf(block, "fps") ? valueOf(block, "fps") : 0;
    if (own !== 0) rate = own;
    rates.unshift(rate);
  }
  return rates;
}

function placeFrames(node, words) {
  const { grid, passed } = chainOf(node);
  const rates = ratesOf({ grid, passed });
  const placed = passed
    .map((block, i) => ({ block, at: valueOf(block, "at"), fps: rates[i] }))
    .filter(({ block }) => block.comfyClass === "SoraPlaceFrames");
  if (placed.some(({ at }) => at === undefined)) return [line(words.connected)];
  if (!grid || placed.some(({ fps }) => !fps)) return [strip(timesOf(placed))];
  const [fps] = rates;
  const frames = placed.map(({ at, fps }) => frameAt(at, grid.frames, fps));
  const spans = frames
    .filter((frame) => frame !== null)
    .map((frame) => ({ start: frame / fps, end: (frame + 1) / fps, kind: "given", text: `${short(frame / fps)}s` }));
  const drawn = ruler(grid.frames / fps, spans.reverse());
  return frames[0] === null ? [drawn, line(words.outside)] : [drawn];
}

/** Times in a video of unknown length, in order; those that count from its end come last. */
function timesOf(placed) {
  const times = placed.map(({ at, fps }) => (fps && at >= 0 ? round(at * fps) / fps : at));
  times.sort((a, b) => (a < 0) - (b < 0) || a - b);
  return times.map((time) => ({ kind: "given", size: 1, text: `${short(time)}s` }));
}

function promptTimeline(node, words) {
  const text = valueOf(node, "timeline");
  if (text === undefined) return [line(words.connected)];
  const { segments, wrong } = timelineOf(String(text));
  const chain = chainOf(node);
  const [fps] = ratesOf(chain);
  // As the block itself does, with all frames of the grid's cells, of which some are cropped in the end.
  const known = chain.grid?.held && fps;
  const seconds = known ? chain.grid.held / fps : (segments.at(-1)?.end ?? 0);
  const spans = segments.map(({ start, end, prompt }, i) => ({
    start, end, kind: i % 2 ? "new" : "given", text: prompt,
  }));
  const drawn = seconds > 0 ? [ruler(seconds, spans)] : [];
  if (wrong) return [...drawn, line(words.wrongLine(wrong))];
  return segments.at(-1).start >= seconds ? [...drawn, line(words.outside)] : drawn;
}

function extendVideo(node, words) {
  const [seconds, context, direction] = ["seconds", "context", "direction"].map((name) => valueOf(node, name));
  if (seconds === undefined || context === undefined || direction === undefined) return [line(words.connected)];
  const added = { kind: "new", size: seconds, text: words.generated(`${short(seconds)} s`) };
  const kept = {
    kind: "given",
    size: context || Math.max(1, seconds),
    text: words.given(context ? `${short(context)} s` : words.whole),
  };
  return [strip([...(direction !== "forward" ? [added] : []), kept, ...(direction !== "backward" ? [added] : [])])];
}

function connectVideos(node, words) {
  const [seconds, context, mode] = ["seconds", "context", "mode"].map((name) => valueOf(node, name));
  if (seconds === undefined || context === undefined || mode === undefined) return [line(words.connected)];
  const end = (which) => ({ kind: "given", size: context, text: `${which} ${short(context)} s` });
  const [kind, text] = mode === "blend" ? ["mixed", words.blended] : ["new", words.generated];
  return [strip([end(words.first), { kind, size: seconds, text: text(`${short(seconds)} s`) }, end(words.second)])];
}

function seamlessLoop(node, words) {
  const { grid, passed } = chainOf(node);
  const [fps] = ratesOf({ grid, passed });
  if (!grid || !fps) return [strip([{ kind: "new", size: 1, text: words.again("") }])];
  const frames = grid.latent ? grid.latent[0] * BUNDLED_CELLS.time : grid.frames;
  return [strip([{ kind: "new", size: 1, text: words.again(`${short(frames / fps)} s`) }])];
}

function lastVideo(node, words) {
  return [playerOf(node, words.player) ?? hint(words.plays)];
}

/** What a block wrote; one that was handed a list has run for each of it. */
function lastText(node, words) {
  const texts = outputOf(node)?.sora_text ?? [];
  return [texts.length ? passage(texts.join("\n\n")) : hint(words.tells)];
}

/** By block: how high the panel is, and what it shows. */
export const PANELS = {
  SoraExpandPrompt: { height: 84, show: lastText },
  SoraDescribeVideo: { height: 84, show: lastText },
  SoraNoiseGrid: { height: 50, show: noiseGrid },
  SoraPlaceFrames: { height: 62, show: placeFrames },
  SoraPromptTimeline: { height: 62, show: promptTimeline },
  SoraExtendVideo: { height: 28, show: extendVideo },
  SoraConnectVideos: { height: 28, show: connectVideos },
  SoraSeamlessLoop: { height: 28, show: seamlessLoop },
  SoraDecodeVideo: { height: 108, show: lastVideo },
  SoraPlayWorld: { height: 108, show: lastVideo },
  SoraWorldClips: { height: 108, show: lastVideo },
  SoraVideoMetrics: { height: 100, show: lastText },
  SoraLoadClips: { height: 62, show: lastText },
  SoraTrain: { height: 100, show: lastText },
};
