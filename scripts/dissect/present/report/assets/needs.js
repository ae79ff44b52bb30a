"use strict";
// What training and servers would need: the reader's choice picks one of the predictions that
// dissect.present.report.predicted_needs and predicted_server_needs made; memory, tokens and price are the reader's.
// Those of a GPU are in the folder predicted, in scripts that add themselves here.
const predicted = {};
(() => {
  const section = document.getElementById("predicted");
  if (!section) return;
  const show = (number) => number.toLocaleString("en", { maximumSignificantDigits: 3 });
  // Three digits, more where the interval is narrow.
  const range = ([middle, low, high], unit) => {
    const needed = high > low && middle > 0 ? Math.ceil(Math.log10(middle / (high - low))) + 1 : 3;
    const text = (number) => number.toLocaleString("en", { maximumSignificantDigits: Math.max(3, needed) });
    return `${text(middle)} [${text(low)}–${text(high)}] ${unit}`;
  };
  const around = (middle, off) => [middle, middle * (1 - off), middle * (1 + off)];
  const inverse = ([middle, low, high], of) => [of / middle, of / high, of / low];
  const scaled = (numbers, factor) => numbers.map((each) => each * factor);
  const wait = (seconds) => (seconds[0] < 1 ? range(scaled(seconds, 1e3), "ms") : range(seconds, "s"));

  const loading = {};
  // A file of answers, once.
  function load(file) {
    loading[file] ??= new Promise((done) => {
      const script = document.createElement("script");
      script.src = `predicted/${file}.js`;
      script.onload = script.onerror = done;
      document.head.append(script);
    });
    return loading[file];
  }

  // What an hour of all GPUs costs, and in what; nothing without a price.
  function hourly(fields, choice) {
    const price = Number(fields.price.value) || choice.price;
    const unit = fields.price.value || !choice.currency ? "in the price's currency" : choice.currency;
    return price ? { price: Number(fields.count.value) * price, unit } : null;
  }

  function training({ batches, sources, words, lengths }, [sizes, speeds], fields, choice) {
    const place = batches.indexOf(Number(fields.batch.value));
    if (!sizes) return ["no prediction: this framework, kernel or split is not modelled"];
    const [peak, low, high, least, most, host] = sizes[place];
    const memory = Number(fields.memory.value) || choice.gib;
    const outlook = most <= memory ? words[0] : least > memory ? words[2] : words[1];
    const fits = `${outlook} in ${show(memory)} GiB: ${range([peak, low, high], "GiB per GPU by the allocator")}`;
    if (outlook === words[2]) return [fits];
    if (host > choice.host_gib) return [`${words[2]} on the host, which needs ${show(host)} of its ${show(choice.host_gib)} GiB`, `${range([peak, low, high], "GiB per GPU by the allocator")}`];
    const [middle, slow, fast, source] = speeds?.[place] ?? [];
    if (!middle) return [fits, "no prediction of its speed: this GPU has less memory, or its copies from the host are not measured"];
    const rates = [middle, slow, fast];
    const tokens = Number(fields.tokens.value);
    const hours = inverse(scaled(rates, 3600), tokens);
    const hour = hourly(fields, choice);
    return [
      fits,
      range(rates, "tokens/s over all GPUs"),
      `${range(hours, "hours")} for ${show(tokens)} tokens, in sequences of ${lengths[fields.setting.value]}`,
      hour ? range(scaled(hours, hour.price), hour.unit) : "cost: give the price of a GPU-hour",
      sources[source],
    ];
  }

  function server({ words, why, bursts, percentiles, latencies, sources, tokens }, [found], fields, choice) {
    if (!found) return [`no prediction: ${why[fields.setting.value] ?? "the engine does not split this model over these GPUs, or no server was measured on them, where it is predicted as tuned"}`];
    const [cache, low, high, limit, source, ...rows] = found;
    const length = tokens[0] + tokens[1];
    const outlook = low >= length ? words[0] : high < length ? words[2] : words[1];
    const fits = `${outlook}: cache ${range([cache, low, high], "tokens")}`;
    if (cache < length) return [`${fits}, too little for a request of ${show(length)}`];
    const room = `${fits}, room for ${Math.min(limit, Math.floor(cache / length)).toLocaleString("en")} requests at once`;
    if (source === undefined) return [room, "no prediction of its times: neither operators nor a datasheet of these GPUs are known"];
    const [from, [off, ...offs]] = sources[source];
    const number = Number(fields.batch.value);
    const row = rows[bursts.indexOf(number)];
    if (!row) return [room, "no prediction of so large a burst: no server was measured on these GPUs"];
    const [duration, ...times] = row;
    const seconds = around(duration, off);
    const percentile = fields.percentile.value;
    const place = percentiles.indexOf(percentile) * latencies.length;
    const waits = latencies.map((name, index) => `${name} ${percentile} ${wait(around(times[place + index], offs[index]))}`);
    const answered = number * tokens[1];
    const hour = hourly(fields, choice);
    const money = hour && scaled(seconds, hour.price / 3600);
    return [
      room,
      `${range(inverse(seconds, answered), "tokens/s over all GPUs")}, ${range(seconds, "s for the burst")}`,
      waits.join(", "),
      money
        ? `${range(money, hour.unit)} for the burst, ${range(scaled(money, 1e6 / answered), `${hour.unit} per million tokens`)}`
        : "cost: give the price of a GPU-hour",
      from,
    ];
  }

  // What each form answers with; its name begins its entries in the address.
  const answers = { need: training, server };
  for (const form of section.querySelectorAll("form")) {
    const { name } = form.dataset;
    const data = JSON.parse(document.getElementById(`${name}-data`).textContent);
    const output = document.getElementById(`${name}-answer`);
    const link = form.nextElementSibling.querySelector("a");
    const fields = form.elements;

    const update = async () => {
      const choice = data.gpus[fields.gpus.value];
      await Promise.all(choice.files.map(load));
      if (choice !== data.gpus[fields.gpus.value]) return; // another was chosen meanwhile
      const asked = ["setting", "model", "count"].map((field) => fields[field].value).join(" ");
      const missing = choice.files.find((file) => !predicted[file]);
      const found = choice.files.map((file) => predicted[file]?.[asked]);
      const texts = missing
        ? [`nothing, for predicted/${missing}.js is not beside this page`]
        : answers[name](data, found, fields, choice);
      output.replaceChildren(
        ...texts.map((text) => {
          const line = document.createElement("p");
          line.textContent = `predicted: ${text}`;
          return line;
        }),
      );
      const cell = data.measured[`${asked} ${fields.gpus.value} ${fields.batch.value}`];
      link.parentElement.hidden = !cell;
      if (cell) link.href = `cells/${cell}.html`;
    };

    state.restore(`${name}.`, form);
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => {
      update();
      state.save(`${name}.`, form);
    });
    update();
  }

  // Off and on, for whoever wants measured numbers alone.
  const box = section.querySelector(".switch input");
  const follow = () => section.classList.toggle("off", !box.checked);
  box.parentElement.hidden = false;
  box.addEventListener("change", () => {
    state.write((name) => name === "predicted", box.checked ? [] : [["predicted", "off"]]);
    follow();
  });
  box.checked = state.read().get("predicted") !== "off";
  follow();
})();
