"use strict";
// The question of `snakemake recommend` as a form: the same answer as dissect.present.recommend.answer, from the same candidates.
(() => {
  const OUT_OF_MEMORY = ["oom", "skipped_oom"];
  const TIMES = ["ttft", "tpot", "latency"];
  const SHOWN = 10, NEAREST = 3;
  const MARKS = {
    best: "best",
    tied: "no difference to the best",
    untested: "behind, without an interval to tell by how much",
    behind: "behind",
    over: "beyond a limit",
  };

  // --- The answer -------------------------------------------------------------------------------------------------

  function columnOf(q) {
    const columns = {
      throughput: "tokens_per_s_per_gpu",
      time: q.stage === "serve" ? `latency_${q.percentile}_s` : "seconds_per_million_tokens",
      cost: "cost_per_million_tokens",
      energy: "joules_per_token",
      memory: "memory_gib",
    };
    return columns[q.objective];
  }

  function limitsOf(q) {
    const most = { memory_gib: q.memory_gb };
    if (q.stage === "serve") for (const time of TIMES) most[`${time}_${q.percentile}_s`] = q[`max_${time}_s`];
    const limits = Object.entries(most).map(([column, bound]) => ({ column, bound, most: true }));
    limits.push({ column: "tokens_per_s", bound: q.min_tokens_per_s, most: false });
    return limits.filter(({ bound }) => bound);
  }

  const excess = (limit, row) =>
    limit.most ? row[limit.column] / limit.bound : limit.bound / Math.max(row[limit.column], 1e-300);

  function isClose({ column, bound }, row) {
    const low = row[`${column}_low`], high = row[`${column}_high`];
    return low != null && high != null && low < bound && bound < high;
  }

  const isAsked = (q, row) =>
    row.stage === q.stage && (row.model === q.model || row.stand_in) && (!q.n_gpus || row.n_gpus === q.n_gpus) &&
    ["platform", "framework", "method"].every((axis) => !q[axis] || row[axis] === q[axis]);

  function placed(row, column, limits) {
    if (OUT_OF_MEMORY.includes(row.status)) return { row, standing: "out of memory", reason: row.reason };
    if (row.status === "unsupported") return { row, standing: "impossible", reason: row.reason };
    if (row.status !== "ok")
      return { row, standing: "unknown", reason: row.reason ? `${row.status}: ${row.reason}` : "not measured" };
    const lacking = [column, ...limits.map((limit) => limit.column)].find((name) => row[name] == null);
    if (lacking) return { row, standing: "unknown", reason: `has no ${words(lacking)}` };
    const close = limits.filter((limit) => isClose(limit, row)).map((limit) => limit.column);
    const beyond = limits.filter((limit) => excess(limit, row) > 1).sort((a, b) => excess(b, row) - excess(a, row));
    if (!beyond.length) return { row, standing: "best", close };
    const [worst] = beyond;
    const reason = `${words(worst.column)} is ${number(row[worst.column])}, the limit is ${number(worst.bound)}`;
    return { row, standing: "over", reason, excess: excess(worst, row), close };
  }

  const hasInterval = (row, column) =>
    row[`${column}_low`] != null && (Boolean(row.has_interval) || column.startsWith("latency"));

  function against(row, best, column) {
    if (row[column] === best[column]) return "tied";
    if (column === "memory_gib") return "behind";
    if (!hasInterval(row, column) || !hasInterval(best, column)) return "untested";
    const low = `${column}_low`, high = `${column}_high`;
    return row[low] <= best[high] && best[low] <= row[high] ? "tied" : "behind";
  }

  function ranked(found, q, column) {
    const sign = q.objective === "throughput" ? -1 : 1;
    const ordered = [...found].sort((a, b) => sign * (a.row[column] - b.row[column]));
    return ordered.map((cell, at) => (at ? { ...cell, standing: against(cell.row, ordered[0].row, column) } : cell));
  }

  function answer(q, rows) {
    const column = columnOf(q), limits = limitsOf(q);
    const cells = rows.filter((row) => isAsked(q, row)).map((row) => placed(row, column, limits));
    const groups = new Map();
    for (const cell of cells.filter(({ standing }) => standing === "best" || standing === "over")) {
      const standIn = cell.row.model === q.model ? "" : cell.row.model;
      const name = JSON.stringify([standIn, cell.row.work]);
      if (!groups.has(name)) groups.set(name, { standIn, work: cell.row.work, cells: [] });
      groups.get(name).cells.push(cell);
    }
    const rankings = [...groups.values()].sort((a, b) => Boolean(a.standIn) - Boolean(b.standIn));
    for (const ranking of rankings) {
      const of = (standing) => ranking.cells.filter((cell) => cell.standing === standing);
      ranking.found = ranked(of("best"), q, column);
      ranking.over = of("over").sort((a, b) => a.excess - b.excess);
    }
    const ended = (standing) => cells.filter((cell) => cell.standing === standing);
    return { rankings, "out of memory": ended("out of memory"), unknown: ended("unknown"), impossible: ended("impossible") };
  }

  // --- What is shown ----------------------------------------------------------------------------------------------

  const number = (value) =>
    value == null ? "" : Number(value.toPrecision(3)).toLocaleString("en", { maximumSignificantDigits: 6 });

  function words(column) {
    const time = /^(ttft|tpot|latency)_(p\d+)_s$/.exec(column);
    if (time) return `${time[1] === "latency" ? "latency" : time[1].toUpperCase()} ${time[2]} (s)`;
    return {
      memory_gib: "memory per GPU (GiB)", tokens_per_s: "throughput (tokens/s)",
      tokens_per_s_per_gpu: "tokens/s per GPU", seconds_per_million_tokens: "time per million tokens (s)",
      cost_per_million_tokens: "price, so no cost", joules_per_token: "energy counter, so no energy per token",
    }[column];
  }

  let labels = {};
  const label = (axis, value) => labels[axis]?.[value] ?? String(value);

  function element(name, attributes = {}, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  function setting(row) {
    const what = row.device === "cpu" ? (row.n_gpus === 1 ? "process" : "processes") : row.n_gpus === 1 ? "GPU" : "GPUs";
    const name = [row.platform_label, label("framework", row.framework), label("method", row.method), `${row.n_gpus} ${what}`];
    if (row.batch) name.push(`batch ${row.batch}`);
    const text = name.join(", ");
    return row.key && row.status === "ok" ? element("a", { href: `cells/${row.key}.html` }, text) : text;
  }

  function interval(row, column) {
    const low = row[`${column}_low`], high = row[`${column}_high`];
    const ends = low != null && low !== high ? ` [${number(low)}–${number(high)}]` : "";
    return row[column] == null ? "" : number(row[column]) + ends;
  }

  function columnsOf(q, cells) {
    const currency = cells.map(({ row }) => row.currency).find(Boolean);
    const all = [
      ["Tokens/s per GPU", "tokens_per_s_per_gpu"], ["Tokens/J", "tokens_per_joule"],
      [`Tokens per ${currency}`, "tokens_per_price"],
      ...TIMES.map((time) => [words(`${time}_${q.percentile}_s`), `${time}_${q.percentile}_s`]),
      ["Memory per GPU (GiB)", "memory_gib"],
    ];
    return all.filter(([, column]) => cells.some(({ row }) => row[column] != null));
  }

  function marks(cell) {
    const said = [cell.standing === "over" ? cell.reason : MARKS[cell.standing]];
    said.push(...(cell.close || []).map((column) => `${words(column)} within noise of its limit`));
    said.push(...(cell.row.flags ? cell.row.flags.split(";").map((flag) => flag.replaceAll("_", " ")) : []));
    return said.join("; ");
  }

  function table(q, cells) {
    const columns = columnsOf(q, cells);
    const head = ["Setting", ...columns.map(([title]) => title), "Standing"];
    const body = cells.map((cell) =>
      element("tr", { "data-key": cell.row.key, "data-standing": cell.standing },
        element("th", { scope: "row" }, setting(cell.row)),
        ...columns.map(([, column]) => element("td", {}, interval(cell.row, column))),
        element("td", {}, marks(cell))));
    const whole = element("table", {},
      element("thead", {}, element("tr", {}, ...head.map((title) => element("th", { scope: "col" }, title)))),
      element("tbody", {}, ...body));
    return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Settings" }, whole);
  }

  function folded(title, cells, render) {
    if (!cells.length) return [];
    return [element("details", {}, element("summary", {}, `${title}: ${cells.length}`), render(cells))];
  }

  function reasons(cells) {
    const lines = cells.map((cell) => {
      const { stage, platform, model, framework, method, workload } = cell.row;
      const id = [stage, platform, model, framework, method, workload].join("/");
      return element("li", { "data-standing": cell.standing }, `${id}: ${cell.reason}`);
    });
    return element("ul", {}, ...lines);
  }

  function shown(q, ranking) {
    const { found, over, work, standIn } = ranking;
    const within = over.length ? `, ${found.length} of them within the limits` : "";
    const of = standIn ? `, with ${label("model", standIn)} in place of ${label("model", q.model)}` : "";
    const count = found.length + over.length;
    const parts = [element("h4", {}, `${work.replace(/^s(\d+)$/, "Sequences of $1 tokens")}${of}: ${count} setting${count === 1 ? "" : "s"} measured${within}`)];
    if (found.length) parts.push(table(q, found.slice(0, SHOWN)));
    parts.push(...folded("More settings", found.slice(SHOWN), (cells) => table(q, cells)));
    const nearest = over.slice(0, found.length ? 1 : NEAREST);
    if (over.length) {
      parts.push(element("p", {}, found.length ? "Nearest beyond the limits:" : "Nothing keeps within the limits; nearest to them:"));
      parts.push(table(q, nearest));
    }
    parts.push(...folded("Further beyond the limits", over.slice(nearest.length), (cells) => table(q, cells)));
    return element("section", { "data-work": work, "data-stand-in": standIn }, ...parts);
  }

  function render(form, output, rows) {
    const q = questionOf(form);
    const found = answer(q, rows);
    output.replaceChildren(
      ...(found.rankings.length ? [] : [element("p", {}, "Nothing that fits the question was measured.")]),
      ...found.rankings.map((ranking) => shown(q, ranking)),
      ...folded("Does not fit, known by its end", found["out of memory"], reasons),
      ...folded("Not known", found.unknown, reasons),
      ...folded("Cannot exist", found.impossible, reasons),
      element("p", {}, "The same in a terminal: ", element("code", {}, command(q))),
    );
  }

  // --- The form ---------------------------------------------------------------------------------------------------

  function questionOf(form) {
    const given = Object.fromEntries(new FormData(form));
    for (const field of form.querySelectorAll("[type=number]")) given[field.name] = field.valueAsNumber || null;
    given.n_gpus = Number(given.n_gpus) || null;
    return given;
  }

  function command(q) {
    const { objective, percentile, ...rest } = q;
    const aim = objective === "throughput" ? "maximise=throughput" : `minimise=${objective}`;
    const given = Object.entries(rest).filter(([name, value]) => value && (q.stage === "serve" || !/^max_/.test(name)));
    const share = q.stage === "serve" ? [`percentile=${percentile}`] : [];
    return ["snakemake recommend --config", ...given.map(([name, value]) => `${name}=${value}`), ...share, aim].join(" ");
  }

  function fill(select, values, optional) {
    const before = select.value;
    const options = values.map((value) => element("option", { value }, label(select.name, value)));
    select.replaceChildren(...(optional ? [element("option", { value: "" }, "any")] : []), ...options);
    if (values.map(String).includes(before)) select.value = before;
  }

  // Models that were measured before others, stand-ins last.
  const standing = ({ status, stand_in }) => 2 * Boolean(stand_in) + (status !== "ok");

  // Only what the stage has can be chosen.
  function offer(form, rows) {
    const here = rows.filter(({ stage }) => stage === form.elements.stage.value);
    const of = (axis) => [...new Set(here.map((row) => row[axis]))];
    const models = [...here].sort((a, b) => standing(a) - standing(b)).map(({ model }) => model);
    fill(form.elements.model, [...new Set(models)], false);
    for (const axis of ["platform", "framework", "method"]) fill(form.elements[axis], of(axis), true);
    fill(form.elements.n_gpus, of("n_gpus").sort((a, b) => a - b), true);
    for (const field of form.querySelectorAll("[data-stage]")) field.hidden = field.dataset.stage !== form.elements.stage.value;
  }

  function start() {
    const form = document.getElementById("recommend");
    if (!form) return;
    const embedded = JSON.parse(document.getElementById("candidates").textContent);
    labels = embedded.labels;
    const rows = embedded.stages.flatMap(({ columns, rows: lines }) =>
      lines.map((line) => Object.fromEntries(columns.map((name, at) => [name, line[at]]))));
    const output = document.getElementById("recommended");
    fill(form.elements.stage, [...new Set(rows.map(({ stage }) => stage))], false);
    form.hidden = false;
    const update = (event) => {
      if (!event || event.target === form.elements.stage) offer(form, rows);
      render(form, output, rows);
    };
    form.addEventListener("input", update);
    form.addEventListener("submit", (event) => event.preventDefault());
    update();
  }

  start();
})();
