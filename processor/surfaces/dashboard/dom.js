// Building and changing nodes. Text only ever becomes text: nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** An HTML element. `attributes`: by name; `text` its text, `on` its listeners by event; empty ones are left out. */
export function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element, otherwise like `element`. */
export function shape(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** The element of the page with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Sets the text where it is another one: an unchanged node costs no layout. */
export function say(node, text) {
  const said = String(text);
  if (node.textContent !== said) node.textContent = said;
}

/** Sets an attribute where it is another one; null removes it. */
export function mark(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else {
    const written = value === true ? "" : String(value);
    if (node.getAttribute(name) !== written) node.setAttribute(name, written);
  }
}

/** Sets a custom property that the style sheet reads. */
export function set(node, property, value) {
  if (node.style.getPropertyValue(property) !== String(value)) node.style.setProperty(property, value);
}

const overflow = new ResizeObserver((changes) => {
  for (const box of new Set(changes.map(({ target }) => target.closest(".table-scroll")))) {
    mark(box, "tabindex", box.scrollWidth > box.clientWidth ? "0" : null);
  }
});

/** Lets the keyboard reach (and so scroll) a box around a table where the table is wider; elsewhere it is no stop. */
export function reachableWhereItScrolls(box) {
  overflow.observe(box);
  overflow.observe(box.querySelector("table"));
}

const known = new WeakMap();

/**
 * Makes `parent` hold one node per item, in the items' order. A node stays with its key, so that focus, selection and
 * hover survive. `create(item)` gives a node, `update(node, item)` brings it up to date.
 */
export function keyed(parent, items, keyOf, create, update) {
  let nodes = known.get(parent);
  if (nodes === undefined) {
    nodes = new Map();
    known.set(parent, nodes);
    parent.replaceChildren();
  }
  const wanted = new Map(items.map((item) => [keyOf(item), item]));
  for (const [key, node] of nodes) {
    if (wanted.has(key)) continue;
    node.remove();
    nodes.delete(key);
  }
  let place = parent.firstChild;
  for (const [key, item] of wanted) {
    let node = nodes.get(key);
    if (node === undefined) {
      node = create(item);
      nodes.set(key, node);
    }
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
    update(node, item);
  }
}
