"use strict";
// Every value is set as text, never as HTML. The page is told the state once a second; it opens a source only when
// somebody presses Show, and takes the picture away as soon as the source gives none.
const tiles = new Map();

function tileOf(name) {
  if (tiles.has(name)) return tiles.get(name);
  const tile = document.getElementById("tile").content.firstElementChild.cloneNode(true);
  tile.dataset.source = name;
  tile.querySelector("h2").textContent = name;
  tile.querySelector(".show").addEventListener("click", () => show(tile, !tile.dataset.shown));
  tile.querySelector(".pause").addEventListener("click", () => act(tile));
  const image = tile.querySelector("img");
  image.addEventListener("error", () => show(tile, false));
  document.getElementById("tiles").append(tile);
  tiles.set(name, tile);
  return tile;
}

function show(tile, on) {
  const image = tile.querySelector("img");
  if (on) {
    tile.dataset.shown = "1";
    image.src = "/stream/" + encodeURIComponent(tile.dataset.source) + ".mjpg?t=" + Date.now();
  } else {
    delete tile.dataset.shown;
    image.removeAttribute("src");
  }
  tile.querySelector(".show").textContent = on ? "Hide" : "Show";
}

async function act(tile) {
  const verb = tile.dataset.state === "paused" ? "resume" : "pause";
  if (verb === "pause") show(tile, false);
  await fetch("/" + verb, {
    method: "POST", headers: {"Content-Type": "application/json", "X-Noctule": "page"},
    body: JSON.stringify({source: tile.dataset.source}),
  });
  await refresh();
}

function fill(tile, source) {
  const put = (kind, text) => { tile.querySelector("." + kind).textContent = text; };
  tile.dataset.state = source.state;
  put("state", source.state + " · " + source.kind + " " + source.address);
  put("age", source.age_s === null ? "–" : source.age_s.toFixed(2) + " s");
  put("fps", source.fps.toFixed(1));
  put("drops", String(source.dropped + source.torn));
  put("error", source.last_error ? source.last_error + (source.hint ? " (" + source.hint + ")" : "") : "none");
  put("none", tile.dataset.shown ? "" : source.reason || (source.state === "paused" ? "paused" : "not shown"));
  put("pause", source.state === "paused" ? "Resume" : "Pause");
  if (tile.dataset.shown && (source.state === "lost" || source.state === "paused")) show(tile, false);
}

async function refresh() {
  try {
    const answer = await fetch("/page.json", {cache: "no-store"});
    if (!answer.ok) throw new Error("the daemon answers " + answer.status);
    const {status, sources} = await answer.json();
    document.getElementById("summary").textContent = status.summary;
    const parts = status.parts.map((part) => {
      const line = document.createElement("li");
      line.textContent = part.name + ": " + part.state + (part.reason ? " – " + part.reason : "");
      return line;
    });
    document.getElementById("parts").replaceChildren(...parts);
    for (const source of sources) fill(tileOf(source.name), source);
  } catch (error) {
    document.getElementById("summary").textContent = "No answer from the daemon: " + error.message;
    for (const tile of tiles.values()) show(tile, false);
  }
}

refresh();
setInterval(refresh, 1000);
