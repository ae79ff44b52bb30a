"use strict";
// The question of `snakemake recommend` as a form: the reader's choices and limits filter what Python ranked, with the
// words, numbers and verdicts on every pair from dissect.present.report.questions.
(() => {
  const embedded = document.getElementById("candidates");
  if (!embedded) return;
  const { words, stages } = JSON.parse(embedded.textContent);
  const forms = [...document.querySelectorAll("form.question")];
  const beyond = ({ column, least, bound }, { numbers: { [column]: [value] } }) => (least ? bound / Math.max(value, 1e-300) : value / bound);
  const folded = (title, cells, show) => (cells.length ? `<details><summary>${title}: ${cells.length}</summary>${show(cells)}</details>` : "");

  function placed(row, aim, limits, lacking) {
    if (row.ended) return { row, standing: row.ended[0], reason: row.ended[1] };
    const without = [aim, ...limits.map(({ column }) => column)].find((column) => !row.numbers[column]);
    if (without) return { row, standing: "UNKNOWN", reason: lacking[without][Number(row.searches)] };
    const near = ({ column, bound }, [, , low, high] = row.numbers[column]) => (low === null ? "single" : low < bound && bound < high ? "near" : "");
    const marks = limits.filter((limit) => near(limit)).map((limit) => `${limit.column} ${words.marks[near(limit)]}`);
    const [worst] = limits.toSorted((one, other) => beyond(other, row) - beyond(one, row));
    if (!worst || beyond(worst, row) <= 1) return { row, standing: "BEST", marks };
    return { row, standing: "OVER", reason: `${worst.column} is ${row.numbers[worst.column][1]}, the limit is ${worst.bound}`, excess: beyond(worst, row), marks };
  }

  // As dissect.present.recommend.answer: by value, each beside the best of those that have an interval within the limits.
  function rank(found, { aim, sign, against }) {
    found.sort((one, other) => sign * (one.row.numbers[aim][0] - other.row.numbers[aim][0]));
    const best = found.find(({ row, marks }) => row.numbers[aim][4] && !marks.length);
    for (const cell of found) [cell.standing, cell.told] = against[aim]?.[best?.row.number]?.[cell.row.number] ?? ["UNTOLD", words.untold];
    const clear = found.every((cell) => cell === best || cell.standing !== "UNTOLD");
    if (best) [best.standing, best.told] = [clear ? "BEST" : "AHEAD", ""];
  }

  function ranking(group, asked) {
    const over = group.filter(({ standing }) => standing === "OVER").sort((one, other) => one.excess - other.excess);
    const found = group.filter(({ standing }) => standing === "BEST");
    rank(found, asked);
    const said = ({ row, standing, reason, told, marks }) => [reason ?? words.marks[standing], ...(told ? [told] : []), ...marks, ...row.marks].join("; ");
    const line = (cell) => `<tr data-key="${cell.row.key}" data-standing="${cell.standing}">${cell.row.name}<td>${said(cell)}</td>${cell.row.cells[asked.percentile]}</tr>`;
    const head = (order) => asked.heads.map((title, place) => `<th scope="col"${place === asked.place && order ? ` aria-sort="${order}"` : ""}>${title}</th>`).join("");
    const table = (cells, order) => `<div class="scroll" tabindex="0" role="region" aria-label="Settings"><table><thead><tr>${head(order)}</tr></thead>
      <tbody>${cells.map(line).join("")}</tbody></table></div>`;
    const ranked = (cells) => table(cells, asked.order);
    const nearest = over.slice(0, found.length ? 1 : words.nearest);
    const [{ row }] = group, standIn = row.choices.model === asked.given.model ? "" : row.choices.model;
    const count = `${group.length} setting${group.length === 1 ? "" : "s"} measured${over.length ? `, ${found.length} of them within the limits` : ""}`;
    return `<section data-work="${row.work}" data-stand-in="${standIn}"><h4>${row.work}${standIn && `, with ${row.model} in place of ${asked.label}`}: ${count}</h4>
      ${found.length ? ranked(found.slice(0, words.shown)) : ""}${folded("More settings", found.slice(words.shown), ranked)}
      ${over.length ? `<p>${found.length ? "Nearest beyond the limits:" : "Nothing keeps within the limits; nearest to them:"}</p>${table(nearest)}` : ""}
      ${folded("Further beyond the limits", over.slice(nearest.length), table)}</section>`;
  }

  function answer(form) {
    const { candidates, about: { columns, lacking, higher, against } } = stages[form.dataset.stage];
    const entries = [...new FormData(form)].filter(([, value]) => value);
    const { percentile = Object.keys(columns)[0], objective, ...given } = Object.fromEntries(entries);
    const { aims, limits: known, heads, sorted } = columns[percentile];
    const [place, order] = sorted[objective];
    const limits = known.flatMap(([key, column]) => (given[key] > 0 ? { column, least: key.startsWith("min_"), bound: Number(given[key]) } : []));
    const fits = ({ choices, standIn }) => Object.keys(choices).every((axis) => [undefined, choices[axis]].includes(given[axis]) || (axis === "model" && standIn));
    const cells = candidates.filter(fits).map((row) => placed(row, aims[objective], limits, lacking));
    const isOther = ({ row }) => row.choices.model !== given.model;
    const ranked = cells.filter(({ standing }) => ["BEST", "OVER"].includes(standing)).sort((one, other) => isOther(one) - isOther(other));
    const groups = Object.values(Object.groupBy(ranked, (cell) => `${isOther(cell) && cell.row.model}: ${cell.row.work}`));
    const asked = { aim: aims[objective], sign: higher.includes(objective) ? -1 : 1, against, heads, place, order, percentile, given, label: form.elements.model.selectedOptions[0].innerHTML };
    const list = (found) => `<ul>${found.map(({ row, standing, reason }) => `<li data-standing="${standing}">${row.id}: ${reason}</li>`).join("")}</ul>`;
    const output = document.getElementById("recommended");
    output.innerHTML = `${groups.map((group) => ranking(group, asked)).join("") || "<p>Nothing that fits the question was measured.</p>"}
      ${words.lists.map(([end, title]) => folded(title, cells.filter(({ standing }) => standing === end), list)).join("")}
      <p>The same in a terminal: <code></code></p>`;
    const parts = entries.map(([name, value]) => (name === "objective" ? value : `${name}=${value}`));
    output.querySelector("code").textContent = `snakemake recommend --config stage=${form.dataset.stage} ${parts.join(" ")}`;
  }

  const question = document.getElementById("recommend");
  const update = () => {
    for (const form of forms) form.hidden = form.dataset.stage !== question.querySelector("select").value;
    answer(forms.find(({ hidden }) => !hidden));
  };
  for (const form of forms) form.addEventListener("submit", (event) => event.preventDefault());
  const stage = question.querySelector("select");
  const asked = state.read();
  if (stages[asked.get("ask.stage")]) stage.value = asked.get("ask.stage");
  for (const form of forms.filter((each) => each.dataset.stage === stage.value)) state.restore("ask.", form);
  question.addEventListener("input", () => {
    update();
    state.save("ask.", forms.find(({ hidden }) => !hidden), [["ask.stage", stage.value]]);
  });
  question.hidden = false;
  update();
})();
