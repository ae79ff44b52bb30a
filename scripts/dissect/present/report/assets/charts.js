"use strict";
// Draws the figures of the page from their descriptions: once they come into sight, in the theme of the page, and only
// with the marks that the page's filters let through. Until then, and without JavaScript, a picture is in their place.
(() => {
  const AXES = ["stage", "platform", "model", "framework", "method"];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const embedded = (id) => JSON.parse(document.getElementById(id).textContent);
  const ERRORS = 1; // Of Vega: warnings are about empty data while it starts.
  const shown = new Map();
  let wanted = {};

  // A mark without an id, or with a *, is of all.
  const passes = (mark) =>
    AXES.every((axis) => !wanted[axis]?.length || [undefined, "*", ...wanted[axis]].includes(mark[axis]));

  const isEmpty = ({ data, concat }) => data?.values.length === 0 || concat?.length === 0;

  // A panel goes with its last mark.
  function filtered(spec) {
    const kept = { ...spec };
    if (spec.data) kept.data = { values: spec.data.values.filter(passes) };
    if (spec.layer) kept.layer = spec.layer.map(filtered);
    if (spec.concat) kept.concat = spec.concat.map(filtered).filter((panel) => !isEmpty(panel));
    return kept;
  }

  // On a phone panels and the entries of legends stand one below the other.
  function fitted(spec, room) {
    if (room >= 640) return spec;
    const narrow = JSON.parse(JSON.stringify(spec).replace(/"columns":\d+/g, '"columns":1'));
    return spec.width ? { ...narrow, width: room - 80 } : narrow;
  }

  let loading = null; // Nearly a megabyte that a reader who never scrolls to a figure need not wait for.
  const library = () =>
    (loading ??= new Promise((loaded, failed) => {
      const script = document.createElement("script");
      Object.assign(script, { src: "vega.js", onload: loaded, onerror: failed });
      document.head.append(script);
    }));

  async function draw(figure) {
    await library();
    const chosen = filtered(figure.specs[figure.choice][1]);
    const turn = ++figure.turn;
    figure.place.hidden = isEmpty(chosen);
    figure.empty.hidden = !isEmpty(chosen);
    if (isEmpty(chosen)) return;
    const theme = document.documentElement.dataset.theme;
    const isDark = theme === "dark" || (theme !== "light" && dark.matches);
    const config = embedded("themes")[isDark ? "dark" : "light"];
    const stage = document.createElement("div");
    const options = { mode: "vega-lite", renderer: "svg", actions: false, logLevel: ERRORS, config };
    const { view } = await vegaEmbed(stage, fitted(chosen, figure.place.clientWidth), options);
    if (turn !== figure.turn) return view.finalize();
    figure.view?.finalize();
    figure.view = view;
    figure.place.replaceChildren(stage);
    view.addEventListener("click", (event, item) => {
      if (item?.datum?.key) location.href = `cells/${item.datum.key}.html`;
    });
  }

  function choices(figure) {
    if (figure.specs.length < 2) return;
    const group = Object.assign(document.createElement("div"), { className: "choices" });
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", "What is drawn");
    figure.specs.forEach(([label], at) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: label });
      button.setAttribute("aria-pressed", String(at === 0));
      button.addEventListener("click", () => {
        figure.choice = at;
        for (const each of group.children) each.setAttribute("aria-pressed", String(each === button));
        draw(figure);
      });
      group.append(button);
    });
    figure.place.before(group);
  }

  function prepare(element) {
    const place = element.querySelector(".plot");
    const empty = Object.assign(document.createElement("p"), { textContent: "No mark matches the filters.", hidden: true });
    place.after(empty);
    const figure = { specs: embedded(`chart-${element.dataset.chart}`), place, empty, choice: 0, turn: 0, view: null };
    choices(figure);
    return figure;
  }

  const redraw = () => shown.forEach(draw);
  const sight = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting || shown.has(target)) continue;
        shown.set(target, prepare(target));
        draw(shown.get(target));
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
