// The most interesting orders, the story of one of them, and its space-time diagram (Lamport 1978).
function listOrders(stories) {
  const groups = new Map();
  for (const story of stories) {
    const why = story.why[0];
    if (!groups.has(why)) groups.set(why, []);
    groups.get(why).push(story);
  }
  for (const [why, group] of groups) {
    $("list").append(html("h3", {}, why), html("ul", {}, ...group.map((story) =>
      html("li", {}, html("button", { type: "button", "data-order": story.order, "aria-pressed": false, onclick: () => tellStory(story) }, story.order)))));
  }
  if (!stories.length && !DATA.live) $("list").append(html("p", {}, "There was none."));
}

const storyOf = (order) => (DATA.stories ?? []).find((story) => story.order === order);
const canTell = (order) => DATA.live || storyOf(order); // the report has the stories of some orders, a server those of all

async function askFor(order) {
  const story = storyOf(order) ?? await fetchStory(order);
  if (typeof story === "string") $("story").replaceChildren(html("p", {}, story));
  else tellStory(story);
  $("story").scrollIntoView({ block: "nearest" });
}

function tellStory(story) {
  for (const button of $("list").querySelectorAll("button")) button.setAttribute("aria-pressed", button.dataset.order === story.order);
  const first = story.steps[0]?.t ?? 0;
  const rows = story.steps.map((step) => html("tr", {}, html("td", {}, `+${((step.t - first) * 1000).toFixed(1)} ms`), html("td", {}, step.clock), html("td", {}, step.text)));
  $("story").replaceChildren(
    html("h3", {}, `Order ${story.order}`, story.why.length ? `: ${story.why.join(", ")}` : ""),
    ...story.told.map((line, number) => html("p", { class: number ? "" : "cause" }, line)),
    html("p", { class: "key" }, `It was placed ${since(first, 3)} after the market opened. `,
      html("button", { type: "button", onclick: () => goTo(first) }, "go to that moment"),
      story.left_out ? ` ${story.left_out} steps in the middle are left out.` : ""),
    html("div", { class: "scroll" }, html("table", {}, html("thead", {}, html("tr", {}, ...["after", "clock", "what happened"].map((word) => html("th", { scope: "col" }, word)))), html("tbody", {}, ...rows))),
    html("h3", {}, "Its way through space and time"), html("div", { class: "scroll" }, spaceTime(story.steps)),
    html("p", { class: "key" }, "Time goes down. An arrow is a message; dashed from a hollow point: its sender noted nothing of the order then."));
  $("story").focus({ preventScroll: true });
}

const ROW = 26, COLUMN = 120, MARGIN = 86;

function spaceTime(steps) {
  const names = [...new Set(steps.flatMap((step) => step.source ? [step.source, step.who] : [step.who]))];
  const x = (name) => MARGIN + COLUMN * (names.indexOf(name) + 0.5), y = (number) => 44 + ROW * number;
  const width = MARGIN + COLUMN * names.length, height = y(steps.length);
  const drawing = svg("svg", { class: "spacetime", width, height, role: "img",
    "aria-label": "one line for each process, time goes down, arrows are messages" },
  svg("defs", {}, svg("marker", { id: "tip", viewBox: "0 0 8 8", refX: 8, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, svg("path", { class: "tip", d: "M0 0L8 4L0 8z" }))),
  ...names.flatMap((name) => [svg("text", { x: x(name), y: 16, "text-anchor": "middle" }, name), svg("line", { class: "life", x1: x(name), x2: x(name), y1: 24, y2: height - 8 })]));
  steps.forEach((step, number) => {
    if (step.source) {
      const sent = steps.findLastIndex((other) => other.who === step.source && other.clock <= step.sent);
      const known = sent >= 0 && sent < number && step.sent - steps[sent].clock <= 1;
      const tail = { x: x(step.source), y: known ? y(sent) : y(number) - ROW * 0.6 };
      drawing.append(svg("line", { class: known ? "arrow" : "arrow guess", "marker-end": "url(#tip)", x1: tail.x, y1: tail.y,
        x2: x(step.who) + (tail.x < x(step.who) ? -5 : 5), y2: y(number) }));
      if (!known) drawing.append(svg("circle", { class: "sent", cx: tail.x, cy: tail.y, r: 3 }, svg("title", {}, `sent at clock ${step.sent}`)));
    }
    drawing.append(svg("text", { class: "faint", x: 0, y: y(number) + 4 }, `+${((step.t - steps[0].t) * 1000).toFixed(1)} ms`),
      svg("circle", { class: "dot", cx: x(step.who), cy: y(number), r: 4 }, svg("title", {}, `${step.text} (clock ${step.clock})`)),
      svg("text", { x: x(step.who) + 8, y: y(number) + 14, class: "faint" }, step.kind.replaceAll("_", " ")));
  });
  return drawing;
}
