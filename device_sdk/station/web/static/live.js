"use strict";
// Everything shown is set as text: what a device says of itself is never markup.
const PERIOD_MS = 1000;

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined && text !== null) made.textContent = String(text);
  return made;
}

function seconds(from, to) {
  return Math.max(0, Math.round((Date.parse(to) - Date.parse(from)) / 1000));
}

function bench(one, run, now) {
  const card = element("div", "bench " + one.state);
  card.append(element("small", "", one.line), element("b", "", one.device || "nobody"));
  card.append(element("span", "", one.state + (one.step ? ": " + one.step : "")));
  if (one.state === "working") {
    const bar = element("progress");
    bar.max = Math.max(run.steps.length, 1);
    bar.value = one.done;
    card.append(bar, element("small", "", seconds(one.since, now) + " s"));
  }
  if (one.reason) card.append(element("p", "", one.reason));
  card.append(element("small", "", " " + one.provisioned + " done, " + one.failed + " failed"));
  return card;
}

function rate(run, now) {
  const minutes = seconds(run.started, run.ended || now) / 60;
  return minutes > 0 ? (run.provisioned / minutes).toFixed(1) + " a minute" : "";
}

function section(run, now) {
  const part = element("section");
  const title = element("h2", "", "Run " + run.run + " ");
  const words = [run.station, run.profile, run.mode, run.provisioned + " provisioned", run.failed + " failed", rate(run, now)];
  words.push(run.ended ? "ended " + run.ended + ": " + run.reason : "since " + run.started);
  title.append(element("small", "", words.filter(Boolean).join(" · ")));
  const benches = element("div", "benches");
  for (const one of run.benches) benches.append(bench(one, run, now));
  part.append(title, benches);
  return part;
}

function row(entry) {
  const line = element("tr", entry.kind);
  line.append(element("td", "", entry.time), element("td", "", entry.kind));
  const cell = element("td");
  if (entry.device) {
    const link = element("a", "", entry.device);
    link.href = "devices?serial=" + encodeURIComponent(entry.device);
    cell.append(link);
  }
  line.append(cell, element("td", "", entry.line), element("td", "", entry.words));
  return line;
}

async function show() {
  const status = document.getElementById("connection");
  try {
    const answer = await fetch("api/live", { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.status === 503 ? "the ledger cannot be read" : "status " + answer.status);
    const data = await answer.json();
    const now = new Date().toISOString();
    document.getElementById("runs").replaceChildren(...data.runs.map((run) => section(run, now)));
    document.querySelector("#recent tbody").replaceChildren(...data.recent.map(row));
    status.textContent = data.runs.length ? "entry " + data.number + ", " + now : "no run yet";
    status.className = "";
  } catch (error) {
    status.textContent = "what you see may be old: " + error.message;
    status.className = "lost";
  }
  setTimeout(show, PERIOD_MS);
}

show();
