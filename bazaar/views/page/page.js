// The page as a whole: the result, the feed and the slider; it takes in new data, and decides what is drawn when.
const LOUD = new Set(["fault", "fell", "missed", "trader_died", "stepped_down", "took_over", "unreadable", "resigned", "absent"]);
const VOTES = new Set(["election_started", "reelection", "elected", "recognized", "opened", "resized"]);
const MOST_LINES = 80;

function goTo(t) {
  following = false;
  moment = Math.min(Math.max(0, t), run.end);
  point();
}

// Draws everything that depends on the chosen moment.
function point() {
  $("time").value = moment;
  $("time").setAttribute("aria-valuetext", since(moment));
  $("moment").textContent = since(moment);
  $("follow").hidden = following || !stream;
  pointGraph();
  pointCharts();
  $("lanes").firstChild?.pointAt();
  tellFeed();
}

function tellFeed() {
  const past = run.happenings.filter((happening) => happening.t <= moment);
  $("feed").replaceChildren(...past.slice(-MOST_LINES).reverse().map(({ t, kind, text, order }) => {
    const more = order && canTell(order) ? [" ", html("button", { type: "button", onclick: () => askFor(order) }, order)] : [];
    return html("li", { class: LOUD.has(kind) ? "loud" : VOTES.has(kind) ? "vote" : "" }, html("span", { class: "t" }, since(t)), text, ...more);
  }));
}

function tellOmitted() {
  const kinds = Object.entries(run.left_out).sort(([, one], [, other]) => other - one);
  const sampled = run.sampled ? " Of the waiting times every tenth was measured, because there were too many." : "";
  $("omitted").textContent = (kinds.length
    ? `Left out here, because nobody could read all of it: ${kinds.map(([kind, number]) => `${number.toLocaleString("en")} × ${kind.replaceAll("_", " ")}`).join(", ")}. `
      + "The charts count them all; all sentences are in output.txt, all events in the history files."
    : "") + sampled;
}

const verdictOf = ({ verdict, audit }) => `${verdict}: ${Object.values(audit).filter(Boolean).length} of ${Object.keys(audit).length} checks hold`;

function tellResult({ summary, audit }) {
  $("result").hidden = !summary;
  if (!summary) return;
  $("verdict").className = summary.verdict;
  $("verdict").textContent = verdictOf(summary);
  const { requests, latency_ms: latency, abroad } = summary;
  const figures = [
    ["goods shipped", `${summary.goods_shipped} in ${summary.trading_s.toFixed(2)} s: ${summary.throughput_per_s} a second`],
    ["orders", `${requests.asked} asked, ${requests.purchased} purchased, ${requests.unavailable} unavailable, ${requests.oversold} over-sold, ${requests.unanswered} unanswered`],
    ...(abroad ? [["abroad", `${abroad.asked} asked, ${abroad.bought} bought, ${abroad.unavailable} unavailable, ${abroad.unknown} unknown; for others ${abroad.sold} sold, ${abroad.refused} refused`]] : []),
    ["under-sold", `${requests.undersold} refused though in stock`],
    ["time to an answer", `median ${latency.p50} ms, 99 of 100 within ${latency.p99} ms`],
    ["traders", summary.traders.join(", ")],
    ["traders at the end", summary.traders_at_end.join(", ") || "none"],
    ["faults", summary.faults.map((fault) => `${fault.what}: ${fault.detected_s === null ? "noticed by nobody" : `noticed after ${fault.detected_s} s`}`
      + (fault.recovered_s === null ? "" : `, trade went on after ${fault.recovered_s} s`)).join("; ") || "none"],
    ["seats lost", summary.deposed.map((fall) => `${fall.peer} (${fall.why})`).join(", ") || "none"],
  ];
  $("figures").replaceChildren(...figures.map(([name, value]) => html("div", {}, html("dt", {}, name), html("dd", {}, value))));
  $("checks").querySelector("summary").textContent = "All checks";
  $("checks").querySelector("ul").replaceChildren(...Object.entries(summary.audit).map(([name, held]) =>
    html("li", { class: held ? "" : "bad" }, `${held ? "✓" : "✗"} ${name.replaceAll("_", " ")}`)));
  const found = [
    ...Object.entries(audit?.violations ?? {}).map(([check, stories]) => [`Violated: ${check.replaceAll("_", " ")}`, stories, ""]),
    ["Not done", audit?.missed ?? [], ""], ["Not known", audit?.unknown ?? [], ""],
    ["Answered as no single stock could (a weak cache may)", audit?.counter_examples ?? [], "mild"], ["Notes", audit?.notes ?? [], "mild"],
  ].filter(([, stories]) => stories.length);
  $("findings").replaceChildren(...found.flatMap(([title, stories, name]) => [html("h3", { class: name }, title), html("ul", {}, ...stories.map((story) => html("li", {}, story)))]));
}

// Takes in a state of the run's course. Of changes, edges and happenings it contains only the new ones.
function take(state) {
  const { changes, edges, happenings, ...rest } = state;
  Object.assign(run, rest);
  run.changes.push(...changes);
  run.edges.push(...edges);
  run.happenings.push(...happenings);
}

// Draws everything that has been taken in.
function draw() {
  $("time").max = run.end;
  if (following) moment = run.end;
  drawLanes();
  drawCharts();
  tellOmitted();
  point();
}

// Draws soon, once for all that is taken in until then. After each drawing there is a rest as long as the drawing took, with
// layout and paint: so a browser that is too slow for the run can still be used, and shows the newest state.
let isDrawing = false, isStale = false;

function drawSoon() {
  isStale = true;
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => {
    const began = performance.now();
    isStale = false;
    draw();
    requestAnimationFrame(() => setTimeout(() => {
      isDrawing = false;
      if (isStale) drawSoon();
    }, performance.now() - began));
  });
}

function redraw() {
  resizeCharts();
  drawLanes();
}

$("title").textContent = SCENE.title;
document.title = `The bazaar of seed ${SCENE.seed}`;
$("about").textContent = "Times count from the opening of the market.";
$("time").addEventListener("input", () => goTo(+$("time").value));
$("time").addEventListener("keydown", (event) => { // with step="any" a key would move by a hundredth of the run
  const step = { ArrowLeft: -1, ArrowRight: 1, PageDown: -10, PageUp: 10 }[event.key];
  if (step) { event.preventDefault(); goTo(moment + step * run.each_s); }
});
addEventListener("resize", redraw);
addEventListener("beforeprint", pointCharts);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", pointCharts);
drawGraph();
listOrders(DATA.stories ?? []);
if (DATA.state) {
  take(DATA.state);
  draw();
  tellResult(DATA);
  goTo(run.end);
}
if (DATA.live) beLive();
