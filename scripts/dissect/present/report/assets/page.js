// Filters, sorting and the theme. Without it every table is there, whole and in the paper's order.
"use strict";

const AXES = ["stage", "platform", "model", "framework", "method"];
const form = document.getElementById("filters");
const tables = [...document.querySelectorAll("table.grid")];

// Theme

function isDark() {
  const theme = document.documentElement.dataset.theme;
  return theme === "auto" ? matchMedia("(prefers-color-scheme: dark)").matches : theme === "dark";
}

function setUpTheme() {
  const button = document.getElementById("theme");
  if (!button) return;
  const say = () => (button.textContent = isDark() ? "Light" : "Dark");
  button.hidden = false;
  button.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem("theme", theme);
    } catch {
      // Then it holds for this page alone.
    }
    say();
    document.dispatchEvent(new CustomEvent("theme", { detail: theme }));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", say);
  say();
}

// Filters: what is chosen of each axis; nothing chosen is everything.

function chosen() {
  const data = new FormData(form);
  return Object.fromEntries(AXES.map((axis) => [axis, data.getAll(axis)]));
}

function fits(choice, ...sources) {
  return AXES.every((axis) => {
    const source = choice[axis].length && sources.find((each) => each[axis] !== undefined);
    return !source || source[axis].split(", ").some((value) => choice[axis].includes(value));
  });
}

function filterTable(table, choice, isAll) {
  const shown = new Set();
  for (const row of table.tBodies[0].rows) {
    let any = isAll;
    [...row.querySelectorAll("td")].forEach((place, column) => {
      const gap = place.classList.contains("gap");
      const fit = isAll || (!gap && fits(choice, place.dataset, row.dataset, table.dataset));
      place.classList.toggle("filtered", !fit && !gap);
      if (fit) {
        shown.add(column);
        any = true;
      }
    });
    row.hidden = !any;
  }
  showColumns(table, shown);
  return shown.size > 0;
}

function showColumns(table, shown) {
  for (const row of table.tHead.rows) {
    let column = 0;
    for (const head of row.querySelectorAll("th:not(.name)")) {
      const span = Number((head.dataset.span ??= head.colSpan));
      const visible = [...Array(span).keys()].filter((index) => shown.has(column + index)).length;
      head.hidden = visible === 0;
      head.colSpan = Math.max(1, visible);
      column += span;
    }
  }
  for (const row of table.tBodies[0].rows) {
    [...row.querySelectorAll("td")].forEach((place, column) => (place.hidden = !shown.has(column)));
  }
}

function filterClaims(choice) {
  for (const ruling of document.querySelectorAll("[data-platform]:is(.ruling, .short)")) {
    ruling.hidden = !fits({ ...choice, stage: [], model: [], framework: [], method: [] }, ruling.dataset);
  }
  for (const claim of document.querySelectorAll(".claims > li")) {
    const stage = { ...choice, platform: [], model: [], framework: [], method: [] };
    claim.hidden = !fits(stage, claim.dataset) || !claim.querySelector(".ruling:not([hidden])");
  }
}

function applyFilters() {
  const choice = chosen();
  const isAll = AXES.every((axis) => !choice[axis].length);
  const kept = new Set(tables.filter((table) => filterTable(table, choice, isAll)));
  for (const box of document.querySelectorAll(".scroll:has(> table.grid)")) {
    box.hidden = !kept.has(box.firstElementChild);
  }
  filterClaims(choice);
  for (const item of document.querySelectorAll("article.item")) {
    const parts = item.querySelector("table.grid") ? ".scroll:not([hidden]) > table.grid" : ".claims > li:not([hidden])";
    item.hidden = !item.querySelector(parts);
  }
  for (const section of document.querySelectorAll("main > section:has(> article.item)")) {
    section.hidden = !section.querySelector("article.item:not([hidden])");
  }
  say(choice, isAll);
  document.dispatchEvent(new CustomEvent("filter", { detail: choice }));
}

function say(choice, isAll) {
  for (const menu of form.querySelectorAll(".choice")) {
    const count = menu.querySelectorAll("input:checked").length;
    menu.querySelector(".chosen").textContent = count ? ` ${count}` : "";
  }
  form.querySelector("[type=reset]").hidden = isAll;
  const numbers = document.querySelectorAll("td[data-value]");
  const left = isAll ? numbers.length : [...numbers].filter((place) => isShown(place)).length;
  document.getElementById("matches").textContent = isAll
    ? ""
    : left
      ? `${left.toLocaleString("en")} of ${numbers.length.toLocaleString("en")} numbers`
      : "No number matches these filters.";
}

function isShown(place) {
  return !place.hidden && !place.classList.contains("filtered") && !place.parentElement.hidden;
}

function writeHash(choice) {
  const parts = AXES.filter((axis) => choice[axis].length);
  state.write((name) => AXES.includes(name), parts.map((axis) => [axis, choice[axis].map(encodeURIComponent).join(",")]));
}

function readHash() {
  const wanted = state.read();
  if (!wanted.size) return;
  for (const box of form.querySelectorAll("input[type=checkbox]")) {
    box.checked = (wanted.get(box.name) ?? "").split(",").includes(encodeURIComponent(box.value));
  }
}

function setUpFilters() {
  if (!form) return;
  form.hidden = false;
  form.addEventListener("change", () => {
    writeHash(chosen());
    applyFilters();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => form.dispatchEvent(new Event("change"))));
  addEventListener("hashchange", () => {
    readHash();
    applyFilters();
  });
  document.addEventListener("click", (event) => closeMenus(event.target.closest(".choice")));
  form.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && event.target.closest(".choice[open]");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
  readHash();
  applyFilters();
}

function closeMenus(except) {
  for (const menu of form.querySelectorAll(".choice[open]")) {
    if (menu !== except) menu.open = false;
  }
}

// Sorting: a button in the head of each column; up, down, and back to the paper's order.

function setUpSorting() {
  for (const table of tables) {
    const heads = [...table.tHead.querySelectorAll("th.name"), ...table.tHead.rows[table.tHead.rows.length - 1].cells];
    [...new Set(heads)].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sortBy(table, head, column));
    });
  }
}

function sortBy(table, head, column) {
  const before = head.getAttribute("aria-sort");
  const order = before === "ascending" ? "descending" : before === "descending" ? null : "ascending";
  for (const each of table.tHead.querySelectorAll("[aria-sort]")) each.removeAttribute("aria-sort");
  if (order) head.setAttribute("aria-sort", order);
  const body = table.tBodies[0];
  const rows = [...body.rows];
  rows.forEach((row, index) => (row.place ??= index));
  const sign = order === "descending" ? -1 : 1;
  rows.sort((one, other) => (order ? compare(one.cells[column], other.cells[column], sign) : 0) || one.place - other.place);
  body.append(...rows);
}

function compare(one, other, sign) {
  const [mine, theirs] = [keyOf(one), keyOf(other)];
  // What is no number stands below the numbers, whichever way they run.
  if (typeof mine !== typeof theirs) return typeof mine === "number" ? -1 : 1;
  return sign * (typeof mine === "number" ? mine - theirs : mine.localeCompare(theirs, "en", { numeric: true }));
}

function keyOf(place) {
  const text = place.textContent;
  if (place.tagName === "TH") return /^[\d,.]+$/.test(text) ? Number(text.replaceAll(",", "")) : text;
  return place.dataset.value === undefined ? text : Number(place.dataset.value);
}

// A footnote's letter says on hover what it stands for; below the table it says so to everybody.

function setUpFootnotes() {
  document.addEventListener("mouseover", (event) => {
    const mark = event.target.closest(".grid sup:not([title])");
    if (!mark) return;
    const notes = mark.closest(".scroll").nextElementSibling;
    const texts = new Map([...notes.querySelectorAll("dt")].map((term) => [term.textContent, term.nextElementSibling.textContent]));
    mark.title = mark.textContent.split(",").map((letter) => texts.get(letter)).join("; ");
  });
}

// Contents: the part that is being read is marked; what a filter takes away is not listed.

function setUpContents() {
  const links = [...document.querySelectorAll("nav a[href^='#']")].filter((link) => link.hash.length > 1);
  const parts = [...new Set(links.map((link) => document.getElementById(link.hash.slice(1))))].filter(Boolean);
  const margin = parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop) + 8;
  const follow = () => {
    const above = parts.filter((part) => !part.hidden && part.getBoundingClientRect().top <= margin);
    const current = new Set([above.at(-1), above.at(-1)?.closest("section")].filter(Boolean).map((part) => `#${part.id}`));
    for (const link of links) {
      if (current.has(link.hash)) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    document.querySelector("#contents ul ul [aria-current]")?.scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("filter", () => {
    for (const link of document.querySelectorAll("#contents a")) {
      link.parentElement.hidden = document.getElementById(link.hash.slice(1)).hidden;
    }
  });
  let waiting = false;
  addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      follow();
    });
  }, { passive: true });
  follow();
}

function openForPrint() {
  addEventListener("beforeprint", () => document.querySelectorAll("main details").forEach((one) => (one.open = true)));
}

setUpTheme();
setUpSorting();
setUpFootnotes();
setUpContents();
setUpFilters();
openForPrint();
