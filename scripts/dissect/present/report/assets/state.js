// What is chosen on the page, kept in its address: `#platform=h200&ask.model=llama2-7b`.
"use strict";

const state = {
  read() {
    const hash = location.hash.slice(1);
    return new Map(hash.includes("=") ? hash.split("&").map((part) => [part.split("=")[0], part.slice(part.indexOf("=") + 1)]) : []);
  },
  // Replaces the entries whose names the test takes, keeps the others.
  write(isMine, entries) {
    const kept = [...state.read()].filter(([name]) => !isMine(name));
    const text = [...kept, ...entries].map(([name, value]) => `${name}=${value}`).join("&");
    history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
  },
  // The fields of a form as entries `prefix.name`; those at their first value are left out.
  save(prefix, form, more = []) {
    const changed = [...form.elements].filter(({ name, value, options, defaultValue }) => name && value !== (options ? options[0].value : defaultValue));
    state.write((name) => name.startsWith(prefix), [...more, ...changed.map(({ name, value }) => [prefix + name, encodeURIComponent(value)])]);
  },
  restore(prefix, form) {
    for (const [name, value] of state.read()) {
      const field = name.startsWith(prefix) && form.elements[name.slice(prefix.length)];
      if (field) field.value = decodeURIComponent(value);
    }
  },
};
