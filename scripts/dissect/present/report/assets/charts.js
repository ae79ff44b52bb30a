"use strict";
// Draws the charts of the page with Plotly: in the page's colours, only once they come into sight, and only what the
// page's filters let through. Nothing moves by itself. Every trace says what it is of: per point in `customdata`, or
// once in `meta.cell`.
(() => {
  const AXES = ["stage", "platform", "model", "framework", "method"]; // behind the key in a point's identity
  const CONFIG = { displayModeBar: false, responsive: true, doubleClick: "reset", scrollZoom: false };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let wanted = {};

  const passes = (cell) =>
    AXES.every((axis, at) => !wanted[axis]?.length || cell[at + 1] === "*" || wanted[axis].includes(cell[at + 1]));

  // A string such as var(--ink) becomes what the theme says now.
  function resolved(node, style) {
    if (typeof node === "string") {
      const name = /^var\((--[\w-]+)\)$/.exec(node);
      return name ? style.getPropertyValue(name[1]).trim() || "gray" : node;
    }
    if (Array.isArray(node)) return node.map((each) => resolved(each, style));
    if (node && typeof node === "object")
      return Object.fromEntries(Object.entries(node).map(([name, each]) => [name, resolved(each, style)]));
    return node;
  }

  // Every list that is as long as the trace has points keeps the points at these places.
  function picked(node, places, length) {
    if (Array.isArray(node)) return node.length === length ? places.map((at) => node[at]) : node;
    if (node && typeof node === "object")
      return Object.fromEntries(Object.entries(node).map(([name, each]) => [name, picked(each, places, length)]));
    return node;
  }

  function filtered(trace) {
    if (trace.meta?.cell) return passes(trace.meta.cell) ? trace : null;
    const places = trace.customdata.flatMap((cell, at) => (passes(cell) ? [at] : []));
    if (places.length === trace.customdata.length) return trace;
    return places.length ? picked(trace, places, trace.customdata.length) : null;
  }

  // As in dissect.present.report.charts.memory: by ascending cost, what gains more than all before it.
  function paretoFront(x, y) {
    const order = x.map((_, at) => at).sort((a, b) => x[a] - x[b] || y[b] - y[a]);
    let best = -Infinity;
    return order.filter((at) => y[at] > best && ((best = y[at]), true));
  }

  // A front belongs to the trace before it, and is of the points that are shown.
  function visible(chart) {
    let points = null;
    const offered = chart.figure.data.filter(({ meta }) => (meta?.choice ?? chart.choice) === chart.choice);
    const kept = offered.map((trace) => {
      // On a phone the names of the front have no room; a touch tells them.
      if (trace.meta?.front) return points && { ...fronted(trace, points), ...(isNarrow(chart) && { mode: "lines" }) };
      return (points = filtered(trace));
    });
    return kept.filter(Boolean);
  }

  function fronted(trace, points) {
    const front = paretoFront(points.x, points.y);
    const of = (values) => front.map((at) => values[at]);
    return { ...trace, x: of(points.x), y: of(points.y), text: of(points.text), customdata: of(points.customdata) };
  }

  const isNarrow = (chart) => chart.place.clientWidth < 560;

  function layoutOf(chart, data) {
    const { meta = {}, ...own } = chart.figure.layout;
    const choice = (meta.choices || [])[chart.choice] || {};
    const narrow = isNarrow(chart);
    const axis = (name) => {
      const given = { ...own[name], ...choice[name] };
      if (narrow && name === "xaxis") given.dtick = { D1: "D2", D2: 1 }[given.dtick] ?? given.dtick;
      const look = { automargin: true, gridcolor: "var(--grid)", zeroline: false, tickformat: ",~g" };
      return { ...look, ...given, title: { ...given.title, standoff: 8 } };
    };
    const rows = meta.row_px ? new Set(data.flatMap((trace) => trace.y)).size : 0;
    const names = data.filter(({ showlegend }) => showlegend !== false).map(({ name }) => name.length);
    const across = Math.max(1, Math.floor((chart.place.clientWidth - 80) / (7 * Math.max(...names) + 48)));
    const legend = 20 * Math.ceil(names.length / across);
    return {
      ...own, xaxis: axis("xaxis"), yaxis: axis("yaxis"),
      height: legend + (rows ? 70 + meta.row_px * rows : narrow ? 340 : 420),
      margin: { l: rows ? 8 : narrow ? 48 : 64, r: 16, t: 8, b: 48 },
      font: { family: "system-ui, sans-serif", size: narrow ? 11 : 13, color: "var(--ink)" },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest",
      hoverlabel: { bgcolor: "var(--paper)", bordercolor: "var(--accent)", font: { color: "var(--ink)" }, align: "left" },
      legend: { orientation: "h", x: 0, y: 1, yref: "paper", yanchor: "bottom", traceorder: "normal" },
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    };
  }

  // Five megabytes that a reader who never scrolls to a chart need not wait for.
  let loading = null;
  const plotly = () =>
    (loading ??= new Promise((loaded, failed) => {
      const script = document.createElement("script");
      Object.assign(script, { src: "plotly.min.js", onload: loaded, onerror: failed });
      document.head.append(script);
    }));

  async function draw(chart) {
    await plotly();
    const style = getComputedStyle(document.documentElement);
    chart.place.hidden = false;
    const data = visible(chart);
    chart.place.hidden = !data.length;
    chart.empty.hidden = Boolean(data.length);
    if (!data.length) return;
    await Plotly.react(chart.place, resolved(data, style), resolved(layoutOf(chart, data), style), CONFIG);
    if (chart.place.on && !chart.listens) {
      chart.listens = true;
      chart.place.on("plotly_click", ({ points: [point] }) => open(point.customdata ?? point.data.meta?.cell));
    }
  }

  function open(cell) {
    if (cell?.[0]) location.href = `cells/${cell[0]}.html`;
  }

  function choices(chart) {
    const offered = chart.figure.layout.meta?.choices || [];
    if (offered.length < 2) return;
    const group = Object.assign(document.createElement("div"), { className: "choices" });
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", "What is drawn");
    offered.forEach(({ label }, at) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: label });
      button.setAttribute("aria-pressed", String(at === 0));
      button.addEventListener("click", () => {
        chart.choice = at;
        for (const each of group.children) each.setAttribute("aria-pressed", String(each === button));
        draw(chart);
      });
      group.append(button);
    });
    chart.place.before(group);
  }

  function prepare(element) {
    const figure = JSON.parse(document.getElementById(`chart-${element.dataset.chart}`).textContent);
    const place = element.querySelector(".plot");
    const empty = Object.assign(document.createElement("p"), { textContent: "The filters leave nothing to draw here." });
    empty.hidden = true;
    place.after(empty);
    const chart = { figure, place, empty, choice: 0, listens: false };
    choices(chart);
    return chart;
  }

  const drawn = new Map();
  const redraw = () => drawn.forEach(draw);
  const sight = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting || drawn.has(target)) continue;
        drawn.set(target, prepare(target));
        draw(drawn.get(target));
      }
    },
    { rootMargin: "300px" },
  );

  document.addEventListener("filter", ({ detail }) => {
    wanted = detail;
    redraw();
  });
  dark.addEventListener("change", redraw);
  new MutationObserver(redraw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  document.querySelectorAll("figure.chart").forEach((element) => sight.observe(element));
})();
