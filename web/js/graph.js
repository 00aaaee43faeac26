/** Reading and setting widgets of nodes, through connections where there are any. */

import { app } from "../../../scripts/app.js";

/** The graph at the bottom of the open workflow, which knows all blueprints in it. */
function rootGraph() {
  return app.rootGraph ?? app.graph;
}

/** Whether a node is in the open workflow or in a blueprint of it: copied nodes never were, closed ones no longer are. */
export function isOpen(node) {
  const { graph } = node;
  if (!graph || graph.getNodeById(node.id) !== node) return false;
  return graph === rootGraph() || rootGraph().subgraphs?.get(graph.id) === graph;
}

/** The node with an id of the server's, such as "4", or "1:4" for node 4 in the blueprint that is node 1. */
export function nodeOf(id) {
  let [graph, node] = [rootGraph(), null];
  for (const part of String(id).split(":")) {
    node = graph?.getNodeById(part) ?? null;
    graph = node?.subgraph;
  }
  return node;
}

/** What the server said about a node when it last ran in this workflow. */
export function outputOf(node) {
  const all = app.nodeOutputs ?? {};
  const place = node.graph === rootGraph() ? "" : `${node.graph.id}:`;
  // A workflow whose tab is opened again has them under the server's ids.
  return all[`${place}${node.id}`] ?? Object.entries(all).find(([id]) => nodeOf(id) === node)?.[1];
}

export function widgetOf(node, name) {
  return node.widgets?.find((widget) => widget.name === name);
}

/** LiteGraph's modes of nodes that are left out of a run, and of those that hand on what they are given. */
const [MUTED, BYPASSED] = [2, 4];

/** The node that an input gets its value from in a run, behind reroutes and bypassed nodes. */
export function upstream(node, name) {
  let slot = node.inputs?.findIndex((input) => input.name === name) ?? -1;
  const type = node.inputs?.[slot]?.type;
  for (let i = 0; slot >= 0 && i < 64; i++) {
    const source = node.getInputNode(slot);
    if (source?.mode === MUTED) return null;
    if (source?.type === "Reroute") slot = 0;
    else if (source?.mode === BYPASSED) slot = source.inputs?.findIndex((input) => input.type === type) ?? -1;
    else return source;
    node = source;
  }
  return null;
}

/** Whether an input takes its value from a connection, so that its widget counts for nothing. */
export function isConnected(node, name) {
  return Boolean(node.inputs?.some((input) => input.name === name && input.link != null));
}

/** The value that an input will have; undefined when a connected node only knows it once it runs. */
export function valueOf(node, name) {
  if (!isConnected(node, name)) return widgetOf(node, name)?.value;
  const source = upstream(node, name);
  const widget = /^Primitive/.test(source?.type ?? "") ? source.widgets?.[0] : undefined;
  // Its own value may be connected in turn, or be one that its blueprint shows outside.
  return widget && !isConnected(source, widget.name) ? widget.value : undefined;
}

/** Set a widget as if a person had done so. */
export function setValue(node, name, value) {
  const widget = widgetOf(node, name);
  // The page looks for what can be undone when a button is let go, before it is clicked; so it is told of the change.
  app.canvas.emitBeforeChange();
  try {
    widget.value = value;
    widget.callback?.(value, app.canvas, node);
  } finally {
    app.canvas.emitAfterChange();
  }
  node.setDirtyCanvas(true, true);
}

/** The first node after a latent's source that samples it, through at most as many blocks as a chain may have. */
export function samplerOf(node) {
  let waiting = [node];
  for (let i = 0; waiting.length && i < 64; i++) {
    waiting = waiting.filter(({ mode }) => mode !== MUTED);
    const found = waiting.find((here) => here.mode !== BYPASSED && widgetOf(here, "steps"));
    if (found) return found;
    const next = waiting.flatMap((here) => {
      const slot = here.outputs?.findIndex((output) => output.type === "LATENT") ?? -1;
      return (slot < 0 ? null : here.getOutputNodes(slot)) ?? [];
    });
    // Blocks that take a latent twice, one after another, would double them each time.
    waiting = [...new Set(next)];
  }
  return null;
}

/** The noise grid that a sampler fills directly; blocks in between may change how many cells there are. */
export function gridOfSampler(sampler) {
  const source = sampler?.comfyClass === "SoraSampler" ? upstream(sampler, "latent") : null;
  return source?.comfyClass === "SoraNoiseGrid" ? source : null;
}
