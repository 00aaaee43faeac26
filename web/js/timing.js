/** How long sampling will take, judged by how long it took on this machine. */

import { gridOfSampler, isConnected, nodeOf, samplerOf, valueOf } from "./graph.js";

const KEPT = "Sora.SecondsPerWork";

/** Tokens at which attention costs as much as all other products of the bundled model, of width 256. */
const EVEN = 6 * 256;

/** Blocks that go through a grid, or on from it, in windows: their work is not that of the whole grid at once. */
const IN_WINDOWS = ["SoraLongVideoSampler", "SoraPlayWorld"];

/** The work of one step in token evaluations: linear layers grow with the tokens, attention with their square. */
export function workOf({ tokens, batch }, guided) {
  return tokens * (1 + tokens / EVEN) * batch * (guided ? 2 : 1);
}

function isGuided(sampler) {
  return (valueOf(sampler, "guidance") ?? valueOf(sampler, "cfg")) !== 1;
}

/** About how many seconds the sampler behind a grid will need; undefined where that is not known. */
export function secondsFor(node, grid) {
  const rate = Number(localStorage.getItem(KEPT));
  const sampler = samplerOf(node);
  if (IN_WINDOWS.includes(sampler?.comfyClass)) return undefined;
  // Noise levels that are connected take the place of its steps, and only a run knows how many there are.
  const steps = sampler && !isConnected(sampler, "sigmas") && valueOf(sampler, "steps");
  return rate && steps ? rate * steps * workOf(grid, isGuided(sampler)) : undefined;
}

/** The work of one step of a sampler as it is set now; 0 when that cannot be known. */
function workAt(sampler, sizeOf) {
  const source = gridOfSampler(sampler);
  const grid = source && sizeOf(source);
  return grid?.tokens ? workOf(grid, isGuided(sampler)) : 0;
}

let begun = null;

/** Takes in one progress event: the time from the first step to the last says how fast this machine is. */
export function measure({ prompt_id: run, node: id, value, max }, sizeOf) {
  const now = performance.now();
  if (begun?.run !== run || begun.id !== id) {
    // Before the last step values may be changed, or another workflow opened.
    begun = { run, id, work: workAt(nodeOf(id), sizeOf), value, now };
  } else if (value <= 1) {
    Object.assign(begun, { value, now });
  }
  if (!begun.work || value !== max || value === begun.value) return false;
  const perStep = (now - begun.now) / 1000 / (value - begun.value);
  localStorage.setItem(KEPT, perStep / begun.work);
  return true;
}
