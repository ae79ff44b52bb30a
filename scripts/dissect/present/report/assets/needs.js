"use strict";
// What training would need: the reader's choice picks one of the predictions that dissect.present.report.predicted_needs
// made; memory, tokens and price are the reader's.
(() => {
  const embedded = document.getElementById("needs-data");
  if (!embedded) return;
  const { gpus, needs, measured, words } = JSON.parse(embedded.textContent);
  const form = document.getElementById("needs");
  const output = document.getElementById("needed");
  const link = document.querySelector("#predicted .measured a");
  const fields = form.elements;
  const show = (number) => number.toLocaleString("en", { maximumSignificantDigits: 3 });
  const range = ([middle, low, high], unit) => `${show(middle)} [${show(low)}–${show(high)}] ${unit}`;

  function offer() {
    const count = fields.setting.value.split("/")[3];
    for (const option of fields.gpus.options) option.disabled = option.value.split("/")[1] !== count;
    if (fields.gpus.selectedOptions[0]?.disabled) fields.gpus.value = [...fields.gpus.options].find(({ disabled }) => !disabled)?.value;
  }

  function answer() {
    const choice = gpus[fields.gpus.value];
    const asked = ["setting", "model", "gpus", "batch"].map((name) => fields[name].value).join(" ");
    const found = choice && needs[asked];
    const lines = [];
    if (!found) lines.push("no prediction: this framework, kernel or split is not modelled");
    else {
      const [peak, low, high, least, most, ...rates] = found;
      const memory = Number(fields.memory.value) || choice.gib;
      lines.push(`${most <= memory ? words[0] : least > memory ? words[2] : words[1]} in ${show(memory)} GiB: ${range([peak, low, high], "GiB per GPU")}`);
      if (rates.length === 3) {
        const hours = [0, 2, 1].map((index) => Number(fields.tokens.value) / rates[index] / 3600);
        const price = Number(fields.price.value) || choice.price;
        lines.push(range(rates, "tokens/s over all GPUs"), `${range(hours, "hours")} for ${show(Number(fields.tokens.value))} tokens`);
        if (price) lines.push(range(hours.map((each) => each * choice.gpus * price), `${fields.price.value || !choice.currency ? "in the price's currency" : choice.currency}`));
        else lines.push("cost: give the price of a GPU-hour");
      } else lines.push("no prediction of its speed");
    }
    output.replaceChildren(...lines.map((text) => {
      const line = document.createElement("p");
      line.textContent = `predicted: ${text}`;
      return line;
    }));
    link.parentElement.hidden = !measured[asked];
    if (measured[asked]) link.href = `cells/${measured[asked]}.html`;
  }

  function update() {
    offer();
    answer();
  }

  // Off and on, for whoever wants measured numbers alone.
  const box = document.querySelector(".switch input");
  const section = document.getElementById("predicted");
  const follow = () => section.classList.toggle("off", !box.checked);
  box.parentElement.hidden = false;
  box.addEventListener("change", () => {
    state.write((name) => name === "predicted", box.checked ? [] : [["predicted", "off"]]);
    follow();
  });
  box.checked = state.read().get("predicted") !== "off";
  follow();

  state.restore("need.", form);
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    update();
    state.save("need.", form);
  });
  update();
})();
