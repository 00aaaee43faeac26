/**
 * Panels below the widgets of some blocks: sizes, time rulers, what is given and what is generated.
 * They are comfort only: nothing of them is saved or sent, and every block works without them.
 */

import { app } from "../../../scripts/app.js";
import { PANELS } from "./panels.js";
import { panel } from "./strips.js";
import { wordsFor } from "./words.js";

/** Pixels that the classic canvas leaves free around a panel, out of the height that it asks for. */
const MARGIN = 4;

const shown = new Map();

function refresh() {
  const words = wordsFor(app.extensionManager?.setting?.get("Comfy.Locale"));
  for (const [node, element] of shown) {
    // What one node shows may follow from values of others, so all of them are drawn again.
    element.replaceChildren(...PANELS[node.comfyClass].show(node, words));
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

/** Call `after` whenever a method of an object has been called. */
function follow(object, method, after) {
  const before = object[method];
  object[method] = function (...values) {
    const result = before?.apply(this, values);
    after();
    return result;
  };
}

function addPanel(node, height) {
  const element = panel();
  const widget = node.addDOMWidget("sora_panel", "sora_panel", element, {
    serialize: false,
    hideOnZoom: false,
    margin: MARGIN,
    getMinHeight: () => height + 2 * MARGIN,
    getMaxHeight: () => height + 2 * MARGIN,
  });
  widget.serialize = false;
  shown.set(node, element);
  follow(node, "onRemoved", () => shown.delete(node));
}

app.registerExtension({
  name: "sora.panels",

  setup() {
    app.ui?.settings?.addEventListener?.("Comfy.Locale.change", () => setTimeout(refresh));
  },

  nodeCreated(node) {
    // Others' nodes are left alone, except those that hand values on to ours.
    if (!/^(Sora|Primitive|Reroute)/.test(node.comfyClass ?? node.type ?? "")) return;
    for (const widget of node.widgets ?? []) follow(widget, "callback", refreshSoon);
    follow(node, "onConfigure", refreshSoon);
    follow(node, "onConnectionsChange", refreshSoon);
    const described = PANELS[node.comfyClass];
    if (described) addPanel(node, described.height);
    refreshSoon();
  },
});
