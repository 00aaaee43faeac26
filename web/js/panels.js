/** What each block shows below its widgets: functions from a node to the elements of its panel. */

import { upstream, valueOf, setValue, widgetOf } from "./graph.js";
import { playerOf } from "./preview.js";
import { BUNDLED_CELLS, MAX_TOKENS, frameAt, gridOf, timelineOf } from "./sizes.js";
import { aspectPicker, hint, line, ruler, short, strip } from "./strips.js";
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
  const picker = aspectPicker([...choices], valueOf(node, "aspect"), words.aspect, choose);
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

function placeFrames(node, words) {
  const { grid, passed } = chainOf(node);
  const times = passed.filter((block) => block.comfyClass === "SoraPlaceFrames").map((block) => valueOf(block, "at"));
  if (times.includes(undefined)) return [line(words.connected)];
  const fps = valueOf(node, "fps") || (grid?.fps ?? 8);
  const seconds = grid ? grid.frames / fps : Math.max(1, ...times.map((at) => Math.abs(at) + 1 / fps));
  const frames = times.map((at) => frameAt(at, Math.max(1, Math.round(seconds * fps)), fps));
  const spans = frames
    .filter((frame) => frame !== null)
    .map((frame) => ({ start: frame / fps, end: (frame + 1) / fps, kind: "given", text: `${short(frame / fps)}s` }));
  const drawn = ruler(seconds, spans.reverse());
  return frames[0] === null ? [drawn, line(words.outside)] : [drawn];
}

function promptTimeline(node, words) {
  const { segments, wrong } = timelineOf(String(valueOf(node, "timeline") ?? ""));
  const { grid } = chainOf(node);
  const end = segments.at(-1)?.end ?? 0;
  const seconds = grid ? grid.frames / grid.fps : end;
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
  const { grid } = chainOf(node);
  if (!grid) return [strip([{ kind: "new", size: 1, text: words.again("") }])];
  const frames = grid.latent ? grid.latent[0] * BUNDLED_CELLS.time : grid.frames;
  return [strip([{ kind: "new", size: 1, text: words.again(`${short(frames / grid.fps)} s`) }])];
}

function decodeVideo(node, words) {
  return [playerOf(node, words.player) ?? hint(words.plays)];
}

/** By block: how high the panel is, and what it shows. */
export const PANELS = {
  SoraNoiseGrid: { height: 50, show: noiseGrid },
  SoraPlaceFrames: { height: 62, show: placeFrames },
  SoraPromptTimeline: { height: 62, show: promptTimeline },
  SoraExtendVideo: { height: 28, show: extendVideo },
  SoraConnectVideos: { height: 28, show: connectVideos },
  SoraSeamlessLoop: { height: 28, show: seamlessLoop },
  SoraDecodeVideo: { height: 108, show: decodeVideo },
};
