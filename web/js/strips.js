/** What the panels are drawn with: lines of text, strips of parts, and pickers. Text is only ever set as text. */

function element(kind, style, text = "") {
  const made = document.createElement(kind);
  Object.assign(made.style, style);
  made.textContent = text;
  return made;
}

/** Behind white text, with a contrast of at least 4.5 to it. */
const COLOURS = {
  given: "rgb(58 124 88)",
  new: "repeating-linear-gradient(45deg, rgb(72 92 160) 0 6px, rgb(86 108 180) 6px 12px)",
  mixed: "linear-gradient(90deg, rgb(58 124 88), rgb(86 108 180) 50%, rgb(58 124 88))",
};

/** The empty panel of a node. */
export function panel() {
  const made = element("div", {
    display: "flex",
    flexDirection: "column",
    gap: "4px",
    padding: "2px 4px",
    boxSizing: "border-box",
    width: "100%",
    height: "100%",
    overflow: "hidden",
    fontSize: "11px",
    lineHeight: "16px",
    color: "var(--input-text, #ddd)",
  });
  made.className = "sora-panel";
  return made;
}

/** Give an element these children by the least change, so that what has the focus or plays stays in the page. */
export function fill(element, parts) {
  while (element.children.length > parts.length) element.lastElementChild.remove();
  parts.forEach((part, i) => {
    if (i < element.children.length) become(element.children[i], part);
    else element.append(part);
  });
}

function become(old, part) {
  if (old === part || old.isEqualNode(part)) return;
  if (old.tagName !== part.tagName || !old.children.length || !part.children.length) return old.replaceWith(part);
  for (const name of old.getAttributeNames()) if (!part.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of part.attributes) old.setAttribute(name, value);
  fill(old, [...part.children]);
}

/** One line of text, whose title has what a narrow block cuts off. */
export function line(text) {
  const made = element("div", { whiteSpace: "nowrap", overflow: "hidden", textOverflow: "ellipsis" }, text);
  made.title = text;
  return made;
}

/** Several lines of text, which can be marked, copied and scrolled. */
export function passage(text) {
  const made = element(
    "div",
    { overflowY: "auto", overflowWrap: "anywhere", whiteSpace: "pre-line", userSelect: "text", cursor: "text" },
    text,
  );
  made.tabIndex = 0;
  // Vue nodes hand the wheel to the canvas otherwise.
  made.dataset.captureWheel = "true";
  // Vue nodes are dragged by whatever is in them, and version 1.32 of the page takes every copy for one of nodes.
  for (const kind of ["pointerdown", "pointermove"]) {
    made.addEventListener(kind, (event) => event.buttons === 1 && event.stopPropagation());
  }
  made.addEventListener("copy", (event) => getSelection().isCollapsed || event.stopPropagation());
  return made;
}

/** A few words in the middle of an empty panel. */
export function hint(text) {
  return element("div", { margin: "auto", fontStyle: "italic", textAlign: "center" }, text);
}

/** Parts side by side, each `{ kind, size, text }` as wide as its size. */
export function strip(parts) {
  const made = element("div", { display: "flex", gap: "2px", height: "20px", flexShrink: "0" });
  for (const { kind, size, text } of parts) {
    const part = element(
      "div",
      {
        flex: `${Math.max(size, 1e-3)} 1 0`,
        minWidth: "4px",
        overflow: "hidden",
        whiteSpace: "nowrap",
        textOverflow: "ellipsis",
        padding: "2px 3px",
        boxSizing: "border-box",
        borderRadius: "3px",
        background: COLOURS[kind],
        color: "#fff",
      },
      text,
    );
    part.title = text;
    part.dataset.kind = kind;
    made.append(part);
  }
  return made;
}

/** A ruler from 0 to `seconds` with spans `{ start, end, kind, text }`; those beyond its end are not drawn. */
export function ruler(seconds, spans) {
  const made = element("div", { flexShrink: "0" });
  const track = element("div", {
    position: "relative",
    height: "20px",
    borderRadius: "3px",
    background: "rgb(128 128 128 / 0.25)",
  });
  for (const { start, end, kind, text } of spans) {
    if (start >= seconds) continue;
    const bar = strip([{ kind, size: 1, text }]);
    const share = (time) => `${(100 * Math.min(time, seconds)) / seconds}%`;
    Object.assign(bar.style, {
      position: "absolute",
      left: share(start),
      width: `calc(${share(end)} - ${share(start)})`,
      minWidth: "4px",
    });
    track.append(bar);
  }
  const scale = element("div", { display: "flex", justifyContent: "space-between" });
  for (const share of [0, 0.25, 0.5, 0.75, 1]) scale.append(element("span", {}, `${short(share * seconds)}s`));
  made.append(track, scale);
  return made;
}

/** A row of buttons in the shapes of aspects such as "16:9"; `choose` is called with the one that was pressed, unless they are disabled. */
export function aspectPicker(aspects, chosen, label, choose, disabled) {
  const row = element("div", { display: "flex", gap: "3px", height: "24px", flexShrink: "0" });
  for (const aspect of aspects) {
    const [w, h] = aspect.split(":").map(Number);
    const scale = 16 / Math.max(w || 1, h || 1);
    const colours = ["var(--input-text, #ddd)", "var(--comfy-input-bg, #222)"];
    if (aspect === chosen) colours.reverse();
    const button = element("button", {
      flex: "1 1 0",
      minWidth: "0",
      padding: "0",
      display: "flex",
      alignItems: "center",
      justifyContent: "center",
      cursor: disabled ? "not-allowed" : "pointer",
      opacity: disabled ? "0.5" : "1",
      borderRadius: "3px",
      border: "1px solid var(--border-color, #555)",
      color: colours[0],
      background: colours[1],
    });
    button.type = "button";
    button.disabled = disabled;
    button.value = aspect;
    button.title = label(aspect);
    button.ariaLabel = label(aspect);
    button.ariaPressed = String(aspect === chosen);
    const size = h ? { width: `${w * scale}px`, height: `${h * scale}px`, border: "1.5px solid currentColor" } : {};
    button.append(element("span", { boxSizing: "border-box", ...size }, h ? "" : "↔"));
    button.addEventListener("click", () => choose(button.value));
    row.append(button);
  }
  return row;
}

/** A number with at most two decimals. */
export function short(number) {
  return String(Math.round(number * 100) / 100);
}
