// The charts over time. uPlot draws them. Faults are shaded; lines mark the chosen moment, and where the number of traders changed.
const HEIGHT = 128;
const DASHES = [[], [6, 4], [2, 3]];
const INKS = ["blue", "orange", "green"];

const rates = (values) => values.map((value, number) => value / widthOf(number));
const total = (columns) => run.columns.shipped.map((_, number) =>
  Object.values(columns).reduce((sum, values) => sum + values[number], 0));

const CHARTS = [
  { title: "Goods shipped a second", series: [["shipped", (c) => rates(c.shipped)]] },
  { title: "Time to an answer, ms", gaps: true, log: true, series: [["median", (c) => c.p50], ["99 of 100 are quicker", (c) => c.p99]] },
  { title: "Orders waiting", series: [["in all traders' queues", (c) => total(c.queue)]] },
  { title: "Orders refused a second", series: [["over-sold", (c) => rates(c.oversold)],
    ["under-sold: though in stock", (c) => rates(c.undersold)], ["nobody sells it", (c) => rates(c.unavailable)]] },
  { title: "Stock in the warehouse", series: ["fish", "salt", "boar"].map((item) => [item, (c) => c.stock[item] ?? []]) },
];

// While a run goes on its last stretch is shorter than the others.
function widthOf(number) {
  return Math.max(Math.min(run.each_s, run.end - number * run.each_s), run.each_s / 4);
}

function chart({ title, series, gaps, log }) {
  const values = series.map(() => html("b"));
  const legend = series.map(([label], number) => html("span", {},
    html("i", { class: `swatch ${["one", "two", "three"][number]} ${INKS[number]}` }), `${label} `, values[number]));
  const box = html("div", { class: "chart" }, html("h3", {}, title, ...legend));
  $("charts").append(box);
  const axis = { stroke: () => colour("faint"), grid: { stroke: () => colour("shade"), width: 1 }, ticks: { show: false }, size: 26, font: "11px system-ui" };
  const plot = new uPlot({
    width: widthOfCharts(), height: HEIGHT, legend: { show: false }, padding: [6, 6, 0, 0],
    cursor: { sync: { key: "time" }, drag: { x: false, y: false }, points: { show: false }, y: false },
    scales: { x: { time: false }, y: log ? { distr: 3 } : { range: (_, __, most) => [0, Math.max(1, most * 1.08)] } },
    axes: [{ ...axis, values: (_, ticks) => ticks.map((tick) => +(tick - (run.opening ?? 0)).toFixed(2)),
      splits: (u, _, low, high, step) => ticksFrom(run.opening ?? 0, low, high, step) },
    { ...axis, size: 52, ...(log ? { splits: powersOfTen, filter: (_, ticks) => ticks } : {}), values: (_, ticks) => ticks.map((tick) => tick === null ? "" : tick.toLocaleString("en")) }],
    series: [{}, ...series.map((_, number) => ({ stroke: () => colour(INKS[number]), width: 1.6, dash: DASHES[number],
      points: { show: !!gaps && (() => run.columns.shipped.length < 60), size: 4 },
      spanGaps: false, paths: uPlot.paths.stepped({ align: 1 }) }))],
    hooks: { drawClear: [shadeFaults], draw: [drawNumbers, standAtMoment], ready: [(u) => u.over.addEventListener("click", () => {
      goTo(u.posToVal(u.cursor.left, "x"));
    })] },
  }, [[], ...series.map(() => [])], box);
  return { plot, series, values };
}

// Ticks at round numbers of seconds since the opening.
function ticksFrom(zero, low, high, step) {
  const ticks = [];
  for (let tick = Math.ceil((low - zero) / step) * step + zero; tick <= high; tick += step) ticks.push(tick);
  return ticks;
}

function powersOfTen(u, _, low, high) {
  const ticks = [];
  for (let tick = 10 ** Math.floor(Math.log10(low)); tick <= high * 1.01; tick *= 10) ticks.push(tick);
  return ticks.filter((tick) => tick >= low * 0.99);
}

function shadeFaults(u) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.fillStyle = colour("shade");
  for (const change of run.changes) {
    if (change.now !== "dead" && change.now !== "paused") continue;
    const next = run.changes.find((later) => later.t > change.t && later.who === change.who && later.now !== "resized");
    const until = Math.min(change.until ?? Infinity, next?.t ?? change.t, run.end);
    const left = u.valToPos(change.t, "x", true);
    ctx.fillRect(left, bbox.top, Math.max(2, u.valToPos(until, "x", true) - left), bbox.height);
  }
  ctx.restore();
}

// Where the number of traders changed by load, and to what.
function drawNumbers(u) {
  for (const { t, seats } of resizings()) lineAt(u, t, "green", [1, 2], `${seats}`);
}

function standAtMoment(u) {
  lineAt(u, moment, "ink", [3, 3]);
}

function lineAt(u, t, ink, dash, word = "") {
  const { ctx, bbox } = u;
  const x = Math.round(u.valToPos(t, "x", true));
  if (x < bbox.left || x > bbox.left + bbox.width) return;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour(ink);
  ctx.setLineDash(dash);
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  ctx.font = `bold ${11 * devicePixelRatio}px system-ui`;
  ctx.textBaseline = "top";
  ctx.fillText(word, x + 3, bbox.top + 1);
  ctx.restore();
}

const widthOfCharts = () => Math.max(240, $("charts").clientWidth - 26);
const charts = CHARTS.map(chart);

function drawCharts() {
  const starts = run.columns.shipped.map((_, number) => number * run.each_s);
  if (starts.length) starts.push(run.end);
  for (const { plot, series } of charts) {
    plot.setData([starts, ...series.map(([, read]) => { const column = read(run.columns); return [...column, column.at(-1)]; })], false);
    plot.setScale("x", { min: 0, max: Math.max(run.end, run.each_s) });
  }
  pointCharts();
}

// Shows the values at the chosen moment, and moves the line there.
function pointCharts() {
  const at = Math.min(Math.floor(moment / run.each_s), run.columns.shipped.length - 1);
  for (const { plot, series, values } of charts) {
    series.forEach(([, read], number) => {
      const value = at < 0 ? null : read(run.columns)[at];
      values[number].textContent = value === null || value === undefined ? "–" : `${+value.toPrecision(3)}`;
    });
    plot.redraw(false);
  }
}

function resizeCharts() {
  for (const { plot } of charts) plot.setSize({ width: widthOfCharts(), height: HEIGHT });
}
