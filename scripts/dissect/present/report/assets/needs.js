"use strict";
// What training and servers would need: the reader's choice picks one of the predictions that
// dissect.present.report.predicted_needs and predicted_server_needs made; memory, tokens and price are the reader's.
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

  // What an hour of all GPUs costs, and in what; nothing without a price.
  function hourly(fields, choice) {
    const price = Number(fields.price.value) || choice.price;
    const unit = fields.price.value || !choice.currency ? "in the price's currency" : choice.currency;
    return price ? { price: choice.gpus * price, unit } : null;
  }

  function training({ words }, found, fields, choice) {
    if (!found) return ["no prediction: this framework, kernel or split is not modelled"];
    const [peak, low, high, least, most, ...rates] = found;
    const memory = Number(fields.memory.value) || choice.gib;
    const fits = `${most <= memory ? words[0] : least > memory ? words[2] : words[1]} in ${show(memory)} GiB: ${range([peak, low, high], "GiB per GPU")}`;
    if (rates.length < 3) return [fits, "no prediction of its speed"];
    const tokens = Number(fields.tokens.value);
    const hours = inverse(scaled(rates, 3600), tokens);
    const hour = hourly(fields, choice);
    return [
      fits,
      range(rates, "tokens/s over all GPUs"),
      `${range(hours, "hours")} for ${show(tokens)} tokens`,
      hour ? range(scaled(hours, hour.price), hour.unit) : "cost: give the price of a GPU-hour",
    ];
  }

  function server({ words, why, bursts, percentiles, latencies, sources, tokens }, found, fields, choice) {
    if (!found) return [`no prediction: ${why[fields.setting.value] ?? "the engine does not split this model over these GPUs"}`];
    const [cache, low, high, limit, source, ...rows] = found;
    const length = tokens[0] + tokens[1];
    const outlook = low >= length ? words[0] : high < length ? words[2] : words[1];
    const fits = `${outlook}: cache ${range([cache, low, high], "tokens")}`;
    if (cache < length) return [`${fits}, too little for a request of ${show(length)}`];
    const room = `${fits}, room for ${Math.min(limit, Math.floor(cache / length)).toLocaleString("en")} requests at once`;
    if (source === undefined) return [room, "no prediction of its times: neither operators nor a datasheet of these GPUs are known"];
    const [from, [off, ...offs]] = sources[source];
    const number = Number(fields.batch.value);
    const [duration, ...times] = rows[bursts.indexOf(number)];
    const seconds = around(duration, off);
    const percentile = fields.percentile.value;
    const place = percentiles.indexOf(percentile) * latencies.length;
    const waits = latencies.map((name, index) => `${name} ${percentile} ${range(around(times[place + index], offs[index]), "s")}`);
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

    // Settings of training are for one number of GPUs, those of servers for any.
    const offer = () => {
      const count = fields.setting.value.split("/")[3];
      for (const option of fields.gpus.options) option.disabled = Boolean(count) && option.value.split("/")[1] !== count;
      if (fields.gpus.selectedOptions[0]?.disabled) fields.gpus.value = [...fields.gpus.options].find(({ disabled }) => !disabled)?.value;
    };

    const update = () => {
      offer();
      const asked = ["setting", "model", "gpus"].map((field) => fields[field].value).join(" ");
      const cell = data.measured[`${asked} ${fields.batch.value}`];
      const choice = data.gpus[fields.gpus.value];
      const found = choice && (data.needs[`${asked} ${fields.batch.value}`] ?? data.needs[asked]);
      output.replaceChildren(
        ...answers[name](data, found, fields, choice).map((text) => {
          const line = document.createElement("p");
          line.textContent = `predicted: ${text}`;
          return line;
        }),
      );
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
