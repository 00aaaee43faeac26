/** The video that a block made, playing silently inside it for as long as the server keeps the file. */

import { api } from "../../../scripts/api.js";

/** Called with what the server says about a node that ran; nodes that made no video of ours are left as they are. */
export function remember(node, output) {
  const [file] = output?.sora_video ?? [];
  if (!file) return;
  node.soraVideo ??= player();
  node.soraVideo.src = api.apiURL(`/view?${new URLSearchParams(file)}`);
}

/** The player of a node; undefined before its first run. */
export function playerOf(node) {
  return node.soraVideo;
}

function player() {
  const video = document.createElement("video");
  // Only silent videos may start by themselves.
  Object.assign(video, { muted: true, loop: true, autoplay: true, playsInline: true });
  // A height of its own, because Vue nodes let a panel grow with what is in it.
  Object.assign(video.style, { width: "100%", height: "104px", objectFit: "contain" });
  // The page moves elements about, which stops a video; nobody else can stop this one, as it has no controls.
  const go = () => video.isConnected && video.play().catch(() => {});
  video.addEventListener("canplay", go);
  video.addEventListener("pause", go);
  return video;
}
