// The graph with roles and seats at the chosen moment, and a lane for each process that traded or was hit by a fault.
const nodes = new Map();
let chosenPeer = null;

function drawGraph() {
  $("graph").append(svg("g", { id: "edges" }));
  $("healing").hidden = SCENE.routing !== "neighbours";
  const many = SCENE.peers.length;
  const r = Math.min(0.085, 0.42 / Math.sqrt(many));
  for (const peer of SCENE.peers) {
    const body = (size, name) => peer.role === "seller"
      ? svg("rect", { class: name, x: -size, y: -size, width: 2 * size, height: 2 * size })
      : svg("circle", { class: name, r: size });
    const text = (y, name, words) => svg("text", { class: name, y, "font-size": Math.min(0.085, r) }, words);
    const seat = text(-r * 1.55, "seat", ""), waiting = text(r * 0.35, "waiting", "");
    const label = text(r * 2.1, "name", many > 60 ? "" : peer.name);
    const node = svg("g", { class: "peer", transform: `translate(${peer.at[0]} ${-peer.at[1]})`, tabindex: 0, role: "button",
      onclick: () => choosePeer(peer.name), onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choosePeer(peer.name); } } },
    svg("title", {}, `${peer.name}, ${peer.role}, first ${peer.item}`), body(r, "body"), body(r * 1.22, "ring"),
    svg("path", { class: "mark cross", d: `M${-r} ${-r}L${r} ${r}M${-r} ${r}L${r} ${-r}` }),
    svg("path", { class: "mark pause", d: `M${-r * 0.35} ${-r * 0.7}V${r * 0.7}M${r * 0.35} ${-r * 0.7}V${r * 0.7}` }), seat, waiting, label);
    $("graph").append(node);
    nodes.set(peer.name, { peer, node, seat, waiting });
  }
}

function pointEdges() {
  const drawn = [...edgesAt(moment)].map(([key, kind]) => {
    const [[x1, y1], [x2, y2]] = key.split(" ").map((name) => nodes.get(name).peer.at);
    const middle = `${(x1 + x2) / 2 + (y1 - y2) / 5} ${-(y1 + y2) / 2 + (x1 - x2) / 5}`; // others may stand on the straight way
    return svg("path", { class: `edge ${kind}`, d: `M${x1} ${-y1}${kind === "made" ? `Q${middle} ` : "L"}${x2} ${-y2}` }, svg("title", {}, `${key.replace(" ", " – ")}: ${kind}`));
  });
  $("edges").replaceChildren(...drawn);
}

function pointGraph() {
  pointEdges();
  const now = standing(moment), queues = levels(run.columns.queue, moment);
  for (const [name, { peer, node, seat, waiting }] of nodes) {
    const { seat: held, life } = now.get(name);
    node.setAttribute("class", ["peer", peer.role, held ? "trader" : "", life, name === chosenPeer ? "chosen" : ""].join(" "));
    seat.textContent = held ?? "";
    waiting.textContent = held && life === "up" ? queues[name] ?? 0 : "";
    node.setAttribute("aria-label", `${name}, ${peer.role}${held ? `, ${held}` : ""}${life === "up" ? "" : `, ${life}`}`);
  }
  tellPeer(now.get(chosenPeer) ?? { seat: null, life: "up" }, queues[chosenPeer]);
}

function choosePeer(name) {
  chosenPeer = name;
  pointGraph();
}

function tellPeer(now, waiting) {
  if (!chosenPeer) return;
  const peer = nodes.get(chosenPeer)?.peer;
  const words = [peer ? `${chosenPeer}: a ${peer.role}, first ${peer.role === "seller" ? "selling" : "looking for"} ${peer.item}` : `${chosenPeer}: not a peer, but all need it`];
  if (now.seat) words.push(`now ${now.seat}${now.life === "up" ? `, ${waiting ?? 0} orders in its queue` : ""}`);
  if (now.life !== "up") words.push(now.life);
  $("chosen").textContent = `${words.join("; ")}.`;
  offerActs(now);
}

// ------------------------------------------------------------------------------------------------ the lanes
const LANE = 30, LEFT = 72, TOP = 8;

function drawLanes() {
  const names = [...new Set(run.changes.map((change) => change.who))];
  $("sizes").hidden = !resizings().length;
  const width = Math.max(260, $("lanes").clientWidth), height = TOP + LANE * names.length + 18;
  const x = (t) => LEFT + (width - LEFT - 8) * Math.min(1, t / Math.max(run.end, run.each_s));
  const y = (name) => TOP + LANE * names.indexOf(name) + LANE / 2;
  const drawing = svg("svg", { width, height, role: "img", "aria-label": laneWords() },
    svg("defs", {}, svg("pattern", { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      svg("line", { class: "hatch", y2: 6 }))));
  for (const name of names) {
    drawing.append(svg("text", { x: 0, y: y(name) + 4 }, name), svg("line", { class: "base", x1: LEFT, x2: width - 8, y1: y(name), y2: y(name) }));
    for (const span of spansOf(name)) drawing.append(...spanShapes(span, x, y(name)));
  }
  for (const { t, who, now, of } of run.changes) {
    if (now === "took over" && names.includes(of)) {
      const [from, to, at] = [y(of), y(who), x(t)];
      const down = to > from ? -1 : 1;
      drawing.append(svg("line", { class: "heir", x1: at, x2: at, y1: from, y2: to + 9 * down }),
        svg("path", { class: "tip", d: `M${at - 4} ${to + 10 * down}h8L${at} ${to + 3 * down}z` }));
    }
  }
  for (const { t, who, seats } of resizings()) {
    drawing.append(svg("line", { class: "resized", x1: x(t), x2: x(t), y1: 0, y2: height - 14 }, svg("title", {}, `${seats} traders from ${since(t)} on, by load, as ${who} asked`)),
      svg("text", { class: "number", x: x(t) + 3, y: 9 }, `${seats}`));
  }
  for (const { t, kind, text } of run.happenings) {
    if (kind === "fault") drawing.append(svg("path", { class: "fault", d: `M${x(t) - 5} 0h10l-5 8z` }, svg("title", {}, `${text} at ${since(t)}`)));
  }
  drawing.append(svg("line", { class: "hand", x1: 0, x2: 0, y1: 0, y2: height - 14 }),
    ...[0, run.end].map((t, number) => svg("text", { x: x(t), y: height - 2, "text-anchor": number ? "end" : "start" }, since(t, 1))));
  drawing.addEventListener("click", (event) => goTo((event.offsetX - LEFT) / (width - LEFT - 8) * run.end));
  $("lanes").replaceChildren(drawing);
  drawing.pointAt = () => { const hand = drawing.querySelector(".hand"); for (const end of ["x1", "x2"]) hand.setAttribute(end, x(moment)); };
  drawing.pointAt();
}

function laneWords() {
  return run.changes.map(({ t, who, now, of, seats }) => now === "resized" ? `${since(t)}: ${seats} traders from now on, as ${who} asked`
    : `${since(t)}: ${who} ${now}${of ? ` the queue of ${of}` : ""}`).join("; ");
}

// The intervals in which a process held a seat, was dead, or was paused.
function spansOf(name) {
  const spans = [], begun = {};
  const end = (what, t) => { if (begun[what]) { spans.push({ ...begun[what], to: Math.min(t, begun[what].until ?? Infinity) }); delete begun[what]; } };
  for (const { t, now, until } of run.changes.filter((change) => change.who === name)) {
    if (now.startsWith("trader")) { end("seat", t); begun.seat = { what: "seat", from: t, label: now }; }
    if (now === "peer") end("seat", t);
    if (now === "dead") { end("paused", t); end("seat", t); begun.dead = { what: "dead", from: t }; }
    if (now === "up") { end("dead", t); end("paused", t); }
    if (now === "paused") { end("paused", t); begun.paused = { what: "paused", from: t, until }; }
  }
  for (const what of Object.keys(begun)) end(what, run.end);
  return spans;
}

function spanShapes({ what, from, to, label }, x, y) {
  const [left, width] = [x(from), Math.max(2, x(to) - x(from))];
  if (what === "dead") return [svg("line", { class: "gone", x1: left, x2: left + width, y1: y, y2: y }),
    svg("path", { class: "death", d: `M${left - 5} ${y - 5}l10 10M${left - 5} ${y + 5}l10 -10` })];
  const bar = svg("rect", { class: what === "seat" ? "tenure" : "pausing", x: left, y: y - 9, width, height: 18 });
  return label && width > 50 ? [bar, svg("text", { x: left + 5, y: y + 4 }, label)] : [bar];
}
