/**
 * Panels below the widgets of some blocks: sizes, time rulers, what is given and what is generated, the finished video.
 * They are comfort only: nothing of them is saved or sent, and every block works without them.
 */

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { PANELS, sizeOf } from "./panels.js";
import { remember } from "./preview.js";
import { panel } from "./strips.js";
import { measure } from "./timing.js";
import { wordsFor } from "./words.js";

const SETTING = "Sora.Panels";

/** Pixels that the classic canvas leaves free around a panel, out of the height that it asks for. */
const MARGIN = 4;

const shown = new Map();

function wanted() {
  return app.extensionManager?.setting?.get(SETTING) ?? true;
}

function refresh() {
  const words = wordsFor(app.extensionManager?.setting?.get("Comfy.Locale"));
  for (const [node, element] of shown) {
    // What one node shows may follow from values of others, so all of them are drawn again.
    const parts = wanted() ? PANELS[node.comfyClass].show(node, words) : [];
    const same = parts.length === element.children.length && parts.every((part, i) => part === element.children[i]);
    // A video that is taken out and put back would stop.
    if (!same) element.replaceChildren(...parts);
  }
}

let waiting = false;

/** Refresh once, after all changes of this moment: loading a graph sets hundreds of values. */
function refreshSoon() {
  if (waiting) return;
  waiting = true;
  queueMicrotask(() => {
    waiting = false;
    refresh();
  });
}

/** Call `after` with the same values whenever a method of an object has been called. */
function follow(object, method, after) {
  const before = object[method];
  object[method] = function (...values) {
    const result = before?.apply(this, values);
    after(...values);
    return result;
  };
}

function addPanel(node, height) {
  const element = panel();
  const needed = () => (wanted() ? height + 2 * MARGIN : 0);
  const widget = node.addDOMWidget("sora_panel", "sora_panel", element, {
    serialize: false,
    hideOnZoom: false,
    margin: MARGIN,
    getMinHeight: needed,
    getMaxHeight: needed,
  });
  widget.serialize = false;
  shown.set(node, element);
  follow(node, "onRemoved", () => shown.delete(node));
}

app.registerExtension({
  name: "sora.panels",

  settings: [
    {
      id: SETTING,
      category: ["Sora", "Panels", "Show"],
      name: "Show panels in Sora blocks",
      tooltip: "Sizes, time rulers and previews below the values of a block. Nothing of them is saved in a workflow.",
      type: "boolean",
      defaultValue: true,
      onChange: refreshSoon,
    },
  ],

  setup() {
    app.ui?.settings?.addEventListener?.("Comfy.Locale.change", () => setTimeout(refresh));
    api.addEventListener("progress", ({ detail }) => measure(detail, app.graph, sizeOf) && refreshSoon());
  },

  nodeCreated(node) {
    // Others' nodes are left alone, except those that hand values on to ours.
    if (!/^(Sora|Primitive|Reroute|KSampler)/.test(node.comfyClass ?? node.type ?? "")) return;
    for (const widget of node.widgets ?? []) follow(widget, "callback", refreshSoon);
    follow(node, "onConfigure", refreshSoon);
    follow(node, "onConnectionsChange", refreshSoon);
    const described = PANELS[node.comfyClass];
    if (described) addPanel(node, described.height);
    if (node.comfyClass === "SoraDecodeVideo") {
      follow(node, "onExecuted", (output) => {
        remember(node, output);
        refreshSoon();
      });
    }
    refreshSoon();
  },
});
