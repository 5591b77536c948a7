// The page when a server shows it: new data come in, anybody's order can be asked for, and buttons inject faults.
const OTHERS = ["warehouse", "mongod"]; // processes that are no peers, into which faults can be injected, too
const SILENCE_MS = 5000;
let stream = null, over = false, silence = 0;

function say(words, name = "") {
  $("verdict").textContent = words;
  $("verdict").className = name;
}

// ------------------------------------------------------------------------------------------------ the stream
// A hidden page gives its connection back, because a browser has only six for one server.
function listen() {
  if (stream || over || document.hidden) return;
  let first = true;
  stream = new EventSource("events");
  stream.addEventListener("open", () => { first = true; }); // whoever comes back is sent everything
  stream.addEventListener("message", (event) => {
    clearTimeout(silence);
    silence = 0;
    const news = JSON.parse(event.data);
    if (first) { run.changes = []; run.edges = []; run.happenings = []; first = false; }
    if (news.state) { take(news.state); drawSoon(); }
    tellState(news);
    if (news.over) end(news);
  });
  stream.addEventListener("error", () => { // the browser tries again by itself
    if (!over && !silence) silence = setTimeout(() => say(`the run does not answer any more; at its end it makes ${DATA.live.folder}/report.html`, "unknown"), SILENCE_MS);
  });
}

function hush() {
  stream?.close();
  stream = null;
  clearTimeout(silence);
  silence = 0;
}

function tellState({ blind, missed }) {
  const slow = missed ? ` (this browser is slow: ${missed} states were left out)` : "";
  if (blind) say(blind, "unknown");
  else if (run.opening === null) say(`the peers elect their traders; the market is not open yet${slow}`, "going");
  else if (run.ended) say("trade is over; the run is being judged", "going");
  else say(`live${slow}`, "going");
}

function end(news) {
  over = true;
  $("acts").hidden = $("follow").hidden = true;
  tellResult(news);
  say(news.summary ? `this run has ended. ${verdictOf(news.summary)}` : "this run has ended, and was not judged", news.summary?.verdict);
  hush();
  offerReport(news.report && URL.createObjectURL(new Blob([news.report], { type: "text/html" }))); // the server goes now
}

function offerReport(href) {
  $("about").append(" This run has ended. ", ...(href ? [html("a", { href, target: "_blank" }, "Open its report"), ", one file that has all of it: "] : ["Its report: "]),
    html("code", {}, `${DATA.live.folder}/report.html`));
}

async function fetchStory(order) {
  try {
    const answer = await fetch(`story?order=${encodeURIComponent(order)}`);
    return answer.ok ? await answer.json() : await answer.text();
  } catch {
    return "The run does not answer any more. Its report and its folder have all stories.";
  }
}

// ------------------------------------------------------------------------------------------------ faults
const ACTS = {
  kill: { can: ({ life }) => life !== "dead", why: "kill -9" },
  pause: { can: ({ life }) => life === "up", why: "SIGSTOP, and SIGCONT after that time" },
  resume: { can: ({ life }) => life === "paused", why: "ends the pause" },
  resign: { can: ({ seat, life }) => seat && life === "up", why: "asks the trader to give up its seat" },
  restart: { can: ({ life }) => life === "dead", why: "starts it again" },
};
const buttons = new Map();

function drawActs() {
  for (const [what, { why }] of Object.entries(ACTS)) {
    const words = what === "pause" ? `pause ${DATA.live.pause_s} s` : what;
    buttons.set(what, html("button", { type: "button", title: why, disabled: "", onclick: () => act(what) }, words));
  }
  $("acts").append(html("p", { id: "whom" }), ...buttons.values(), html("p", { id: "answer", role: "status" }),
    html("p", { class: "key" }, "Not in the graph, but you can choose them, too: ", ...OTHERS.flatMap((name) => [html("button", { type: "button", onclick: () => choosePeer(name) }, name), " "])));
  $("acts").hidden = false;
  $("chosen").textContent = "Choose a peer in the graph: then you can kill or pause it, and see how the others get along. Try a trader.";
}

// What can be done depends on the state now, whatever moment is shown.
function offerActs() {
  const now = standing(run.end).get(chosenPeer) ?? { seat: null, life: "up" };
  if (buttons.size) $("whom").textContent = `Do to ${chosenPeer}:`;
  for (const [what, button] of buttons) {
    const can = ACTS[what].can(now) && !(OTHERS.includes(chosenPeer) && what === "restart");
    button.disabled = !can;
    button.setAttribute("aria-label", `${button.textContent}: ${chosenPeer}`);
  }
}

async function act(what) {
  const name = chosenPeer, isTrader = standing(run.end).get(name)?.seat;
  const wish = { do: what, name, ...(what === "pause" ? { for_s: DATA.live.pause_s } : {}) };
  const said = await fetch("fault", { method: "POST", body: JSON.stringify(wish) }).then((answer) => answer.text(), () => "the run does not answer any more");
  const then = said === "done" && isTrader && (what === "kill" || what === "pause") ? `. The others notice after ${DATA.live.suspect_s} s without a sign of life.` : "";
  $("answer").textContent = `${what} ${name}: ${said}${then}`;
}

// ------------------------------------------------------------------------------------------------ all of it
function beLive() {
  $("ask").hidden = false;
  $("order").placeholder = `${SCENE.peers.find((peer) => peer.role === "buyer").name}-0`;
  $("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    askFor($("order").value.trim());
  });
  if (DATA.state) {
    say(DATA.summary ? `this run has ended. ${verdictOf(DATA.summary)}` : "this run has ended, and was not judged", DATA.summary?.verdict);
    over = true;
    offerReport("report.html");
  } else {
    following = true;
    say("waiting for the run", "going");
    $("story").replaceChildren(html("p", {}, "Ask for an order, or click one in the sentences: here it is told what became of it."));
    $("follow").addEventListener("click", () => { following = true; moment = run.end; point(); });
    if (DATA.live.acts) drawActs();
    document.addEventListener("visibilitychange", () => document.hidden ? hush() : listen());
    listen();
  }
}
