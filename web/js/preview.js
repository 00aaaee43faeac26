/** The video that a block made, playing silently inside it for as long as the server keeps the file. */

import { api } from "../../../scripts/api.js";
import { outputOf } from "./graph.js";

const players = new WeakMap();

/** The player of a node's last video; undefined before its first run, and when the file is gone. */
export function playerOf(node, label) {
  const [file] = outputOf(node)?.sora_video ?? [];
  if (!file) return undefined;
  if (!players.has(node)) players.set(node, player());
  const made = players.get(node);
  const [button] = made.children;
  const [video] = button.children;
  const address = api.apiURL(`/view?${new URLSearchParams(file)}`);
  if (video.getAttribute("src") !== address) video.src = address;
  if (button.title !== label) Object.assign(button, { title: label, ariaLabel: label });
  return video.error ? undefined : made;
}

/** Says when it is put into the page, of which there is no event. */
class Placed extends HTMLElement {
  connectedCallback() {
    this.onPlaced?.();
  }
}
customElements.define("sora-placed", Placed);

/** A button that is a video, in an element that starts it again where the page has moved it to. */
function player() {
  const video = document.createElement("video");
  // Only silent videos may start by themselves.
  Object.assign(video, { muted: true, loop: true, playsInline: true, preload: "auto" });
  // A height of its own, because Vue nodes let a panel grow with what is in it.
  Object.assign(video.style, { display: "block", width: "100%", height: "104px", objectFit: "contain" });
  const button = document.createElement("button");
  button.type = "button";
  Object.assign(button.style, {
    display: "block",
    width: "100%",
    padding: "0",
    border: "0",
    background: "none",
    cursor: "pointer",
    outlineOffset: "-2px",
  });
  button.append(video);
  const made = document.createElement("sora-placed");
  made.append(button);

  let wanted = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  const go = () => wanted && video.isConnected && video.play().catch(() => {});
  made.onPlaced = go;
  video.addEventListener("canplay", go);
  // Taken out of the page, a video stops by itself; one that stops within it was stopped by a person.
  video.addEventListener("pause", () => {
    if (video.isConnected && video.paused) wanted = false;
  });
  video.addEventListener("play", () => {
    wanted = true;
  });
  button.addEventListener("click", () => {
    wanted = video.paused;
    if (wanted) go();
    else video.pause();
  });
  return made;
}
