/**
 * Panels below the widgets of some blocks: sizes, time rulers, what is given and what is generated, the finished video.
 * They are comfort only: nothing of them is saved in a workflow or sent, and every block works without them.
 */

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { isOpen } from "./graph.js";
import { PANELS, sizeOf } from "./panels.js";
import { fill, panel } from "./strips.js";
import { measure } from "./timing.js";
import { wordsFor } from "./words.js";

const SETTING = "Sora.Panels";

/** Pixels that the classic canvas leaves free around a panel, out of the height that it asks for. */
const MARGIN = 4;

/** The panels' widgets by node, of all nodes in the open workflow. */
const shown = new Map();

function wanted() {
  return app.extensionManager?.setting?.get(SETTING) ?? true;
}

function refresh() {
  const words = wordsFor(app.extensionManager?.setting?.get("Comfy.Locale"));
  for (const [node, widget] of shown) {
    // What one node shows may follow from values of others, so all of them are drawn again.
    if (isOpen(node)) fill(widget.element, wanted() ? PANELS[node.comfyClass].show(node, words) : []);
    else drop(node, widget);
  }
}

/** Forget a node, whose panel the page itself only takes out when it says that the node is removed. */
function drop(node, widget) {
  shown.delete(node);
  widget.onRemove?.();
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

/** Let the wheel and the middle button move the canvas over a panel as beside it, unless they scroll a text. */
function handToCanvas(element) {
  const handed = (event) => {
    event.preventDefault();
    event.stopPropagation();
  };
  element.addEventListener("wheel", (event) => {
    const text = event.target.closest(".sora-panel [tabindex]");
    if (text?.scrollHeight > text?.clientHeight && !event.ctrlKey && !event.metaKey) return;
    handed(event);
    app.canvas.processMouseWheel(event);
  });
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 1) return;
    handed(event);
    app.canvas.processMouseDown(event);
  });
}

function addPanel(node, height) {
  const element = panel();
  // Vue nodes let a panel grow with what is in it.
  element.style.maxHeight = `${height}px`;
  handToCanvas(element);
  const needed = () => (wanted() ? height + 2 * MARGIN : 0);
  const widget = node.addDOMWidget("sora_panel", "sora_panel", element, {
    serialize: false,
    hideOnZoom: false,
    margin: MARGIN,
    getMinHeight: needed,
    getMaxHeight: needed,
  });
  widget.serialize = false;
  const add = () => {
    shown.set(node, widget);
    refreshSoon();
  };
  if (node.graph) add();
  follow(node, "onAdded", add);
  // A video whose file is gone makes room for words.
  element.addEventListener("error", refreshSoon, true);
  // Nodes in blueprints are not told when a graph is cleared, so every refresh looks for those that are gone.
  follow(node, "onRemoved", refreshSoon);
}

/** Vue nodes show three decimals unless told otherwise, and a field that is left writes back what it shows. */
function showAllDecimals(widget) {
  const precision = widget.options?.precision;
  if (precision > 3) widget.options.maxFractionDigits = precision;
}

/** Blocks whose interrupted run goes on with the seed that it began with, and with no other. */
const RESUMED = ["SoraLongVideoSampler", "SoraTrain"];

/** Keep the seed of a new block from run to run; the page would draw another. What a workflow says comes later. */
function fixSeed(node) {
  const control = node.widgets?.find(({ name }) => name === "control_after_generate");
  if (control) control.value = "fixed";
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
    api.addEventListener("graphCleared", refreshSoon);
    // A node that is bypassed or muted is told nothing of it.
    api.addEventListener("graphChanged", refreshSoon);
    api.addEventListener("executed", refreshSoon);
    api.addEventListener("progress", ({ detail }) => measure(detail, sizeOf) && refreshSoon());
  },

  afterConfigureGraph: refreshSoon,

  onNodeOutputsUpdated: refreshSoon,

  nodeCreated(node) {
    // Others' nodes are left alone, except those that hand values on to ours.
    if (!/^(Sora|Primitive|Reroute|KSampler)/.test(node.comfyClass ?? node.type ?? "")) return;
    for (const widget of node.widgets ?? []) follow(widget, "callback", refreshSoon);
    if (node.comfyClass?.startsWith("Sora")) node.widgets?.forEach(showAllDecimals);
    if (RESUMED.includes(node.comfyClass)) fixSeed(node);
    follow(node, "onConfigure", refreshSoon);
    follow(node, "onConnectionsChange", refreshSoon);
    const described = PANELS[node.comfyClass];
    if (described) addPanel(node, described.height);
    refreshSoon();
  },
});
