"use strict";
// The data of the run, and small tools. All data are put into the page as text only.
const DATA = JSON.parse(document.getElementById("data").textContent);
const SCENE = DATA.scene;
const EMPTY = { shipped: [], unavailable: [], oversold: [], undersold: [], p50: [], p99: [], queue: {}, stock: {} };
const run = { each_s: 1, end: 0, columns: EMPTY, changes: [], edges: [], happenings: [], opening: null, ended: false, sampled: false,
  left_out: {}, events: 0 };
let moment = 0; // seconds since the launch
let following = false; // whether the moment is always the last one

const $ = (id) => document.getElementById(id);

function html(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children); // a string becomes a text node: it is never parsed as HTML
  return element;
}

// A time for people: counted from the opening of the market.
function since(t, digits = 2) {
  const seconds = t - (run.opening ?? 0);
  return `${seconds < 0 ? "−" : ""}${Math.abs(seconds).toFixed(digits)} s`;
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// The state of each process that has changed by time t: its seat, and whether it is dead or paused.
function standing(t) {
  const found = new Map(SCENE.peers.map((peer) => [peer.name, { seat: null, life: "up" }]));
  for (const change of run.changes) {
    if (change.t > t) break;
    if (!found.has(change.who)) found.set(change.who, { seat: null, life: "up" });
    const one = found.get(change.who);
    if (change.now.startsWith("trader")) one.seat = change.now;
    else if (change.now === "peer") one.seat = null;
    else if (change.now === "paused") one.life = change.until > t ? "paused" : "up";
    else if (change.now === "up" || change.now === "dead") one.life = change.now;
  }
  return found;
}

// The changes of the number of traders, by load.
const resizings = () => run.changes.filter((change) => change.now === "resized");

// The edges at time t, by their ends: "kept" and "lost" ones of the plan, and others, which were "made" while the graph healed.
function edgesAt(t) {
  const routed = SCENE.routing === "neighbours"; // else everybody writes to everybody, and the graph is the plan's
  const found = new Map();
  for (const peer of SCENE.peers) for (const other of peer.neighbours) found.set(ends(peer.name, other), routed ? "lost" : "kept");
  for (const [at, one, other, up] of run.edges) {
    if (at > t) break;
    const key = ends(one, other), planned = found.has(key) && found.get(key) !== "made";
    if (planned) found.set(key, up ? "kept" : "lost");
    else if (up) found.set(key, "made");
    else found.delete(key);
  }
  return found;
}

function ends(one, other) {
  return [one, other].sort().join(" ");
}

// The number of waiting orders, or the stock, by name, at time t.
function levels(columns, t) {
  const at = Math.min(Math.floor(t / run.each_s), run.columns.shipped.length - 1);
  return Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, at < 0 ? 0 : values[at]]));
}
