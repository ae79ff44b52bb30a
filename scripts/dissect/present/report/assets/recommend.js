"use strict";
// The question of `snakemake recommend` as a form. Candidates come from dissect.present.report.questions with their
// words as HTML, their numbers, and the verdict on every pair; here the reader's choices and limits take some away.
(() => {
  const embedded = document.getElementById("candidates");
  if (!embedded) return;
  const { words, stages } = JSON.parse(embedded.textContent);
  const forms = [...document.querySelectorAll("form.question")];
  const beyond = ({ column, least, bound }, { numbers: { [column]: [value] } }) =>
    least ? bound / Math.max(value, 1e-300) : value / bound;

  function placed(row, aim, limits, lacking) {
    if (row.ended) return { row, standing: row.ended[0], reason: row.ended[1] };
    const without = [aim, ...limits.map(({ column }) => column)].find((column) => !row.numbers[column]);
    if (without) return { row, standing: "UNKNOWN", reason: lacking[without] };
    const marks = limits.flatMap(({ column, bound }) => {
      const [, , low, high] = row.numbers[column];
      return low === null ? `${column} ${words.marks.single}` : low < bound && bound < high ? `${column} ${words.marks.near}` : [];
    });
    const [worst] = limits.toSorted((one, other) => beyond(other, row) - beyond(one, row));
    if (!worst || beyond(worst, row) <= 1) return { row, standing: "BEST", marks };
    const reason = `${worst.column} is ${row.numbers[worst.column][1]}, the limit is ${worst.bound}`;
    return { row, standing: "OVER", reason, excess: beyond(worst, row), marks };
  }

  // As dissect.present.recommend.answer ranks: by value, each told from the best of those that can be told.
  function rank(found, { aim, sign, against }) {
    found.sort((one, other) => sign * (one.row.numbers[aim][0] - other.row.numbers[aim][0]));
    const best = found.find(({ row, marks }) => row.numbers[aim][2] !== null && !marks.length);
    const of = (cell) => (best && against[aim]?.[best.row.number]?.[cell.row.number]) ?? ["UNTOLD", words.untold];
    for (const cell of found) if (cell !== best) [cell.standing, cell.told] = of(cell);
    if (best) best.standing = found.some(({ standing }) => standing === "UNTOLD") ? "AHEAD" : "BEST";
  }

  const folded = (title, cells, show) =>
    cells.length ? `<details><summary>${title}: ${cells.length}</summary>${show(cells)}</details>` : "";

  function ranking(group, asked) {
    const { head, percentile, given, label } = asked;
    const over = group.filter(({ standing }) => standing === "OVER").sort((one, other) => one.excess - other.excess);
    const found = group.filter(({ standing }) => standing === "BEST");
    rank(found, asked);
    const line = ({ row, standing, reason, told, marks }) => {
      const said = [reason ?? words.marks[standing], ...(told ? [told] : []), ...marks, ...row.marks].join("; ");
      return `<tr data-key="${row.key}" data-standing="${standing}">${row.cells[percentile]}<td>${said}</td></tr>`;
    };
    const table = (cells) =>
      `<div class="scroll" tabindex="0" role="region" aria-label="Settings"><table><thead><tr>${head}</tr></thead>
      <tbody>${cells.map(line).join("")}</tbody></table></div>`;
    const nearest = over.slice(0, found.length ? 1 : words.nearest);
    const [{ row }] = group;
    const standIn = row.choices.model === given.model ? "" : row.choices.model;
    const of = standIn && `, with ${row.model} in place of ${label}`;
    const count = `${group.length} setting${group.length === 1 ? "" : "s"} measured`;
    const within = over.length ? `, ${found.length} of them within the limits` : "";
    const verdict = found.length ? "Nearest beyond the limits:" : "Nothing keeps within the limits; nearest to them:";
    return `<section data-work="${row.work}" data-stand-in="${standIn}"><h4>${row.work}${of}: ${count}${within}</h4>
      ${found.length ? table(found.slice(0, words.shown)) : ""}${folded("More settings", found.slice(words.shown), table)}
      ${over.length ? `<p>${verdict}</p>${table(nearest)}` : ""}
      ${folded("Further beyond the limits", over.slice(nearest.length), table)}</section>`;
  }

  function answer(form) {
    const { columns, lacking, higher, candidates, against } = stages[form.dataset.stage];
    const entries = [...new FormData(form)].filter(([, value]) => value);
    const { percentile = Object.keys(columns)[0], objective, ...given } = Object.fromEntries(entries);
    const { aims, limits: known, head } = columns[percentile];
    const limits = known
      .filter(([key]) => given[key] > 0)
      .map(([key, column]) => ({ column, least: key.startsWith("min_"), bound: Number(given[key]) }));
    const fits = ({ choices, standIn }) =>
      Object.keys(choices).every((axis) => [undefined, choices[axis]].includes(given[axis]) || (axis === "model" && standIn));
    const aim = aims[objective];
    const cells = candidates.filter(fits).map((row) => placed(row, aim, limits, lacking));
    const isOther = ({ row }) => row.choices.model !== given.model;
    const ranked = cells.filter(({ standing }) => ["BEST", "OVER"].includes(standing));
    ranked.sort((one, other) => isOther(one) - isOther(other));
    const groups = Object.values(Object.groupBy(ranked, (cell) => `${isOther(cell) && cell.row.model}: ${cell.row.work}`));
    const label = form.elements.model.selectedOptions[0].innerHTML;
    const asked = { aim, sign: higher.includes(objective) ? -1 : 1, against, head, percentile, given, label };
    const item = ({ row, standing, reason }) => `<li data-standing="${standing}">${row.id}: ${reason}</li>`;
    const list = (found) => `<ul>${found.map(item).join("")}</ul>`;
    const output = document.getElementById("recommended");
    output.innerHTML = `${groups.map((group) => ranking(group, asked)).join("") || "<p>Nothing that fits the question was measured.</p>"}
      ${words.lists.map(([end, title]) => folded(title, cells.filter(({ standing }) => standing === end), list)).join("")}
      <p>The same in a terminal: <code></code></p>`;
    const parts = entries.map(([name, value]) => (name === "objective" ? value : `${name}=${value}`));
    output.querySelector("code").textContent = `snakemake recommend --config stage=${form.dataset.stage} ${parts.join(" ")}`;
  }

  const question = document.getElementById("recommend");
  function update() {
    for (const form of forms) form.hidden = form.dataset.stage !== question.querySelector("select").value;
    answer(forms.find(({ hidden }) => !hidden));
  }
  for (const form of forms) form.addEventListener("submit", (event) => event.preventDefault());
  question.addEventListener("input", update);
  question.hidden = false;
  update();
})();
