"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const plots = Object.keys(figures).map((name) => [figures[name], document.getElementById(`plot-${name}`)]);
  const settings = { displayModeBar: false, responsive: true, showTips: false };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const family = getComputedStyle(document.body).fontFamily;
  const themed = (layout, [ink, card, line]) => ({
    font: { ...layout.font, color: ink, family },
    hoverlabel: { bgcolor: card, bordercolor: line, font: { color: ink } },
  });
  const screen = () => [colour("--ink"), colour("--card"), colour("--line")];
  const paper = ["#000", "#fff", "#ccc"];
  const repaint = (colours) => {
    for (const [{ layout }, place] of plots) {
      if (place.data) Plotly.relayout(place, themed(layout, colours));
    }
  };
  // One at a time, so that the page answers while its charts are drawn.
  const draw = async () => {
    for (const [{ data, layout }, place] of plots) {
      await Plotly.newPlot(place, data, { ...layout, ...themed(layout, screen()) }, settings);
      await new Promise((next) => { setTimeout(next); });
    }
    document.documentElement.dataset.drawn = plots.length;
  };

  // Paper has another width: drawings scale to it instead of being cut.
  const scale = () => {
    for (const svg of document.querySelectorAll(".plot .main-svg")) {
      svg.setAttribute("viewBox", `0 0 ${svg.width.baseVal.value} ${svg.height.baseVal.value}`);
      svg.setAttribute("preserveAspectRatio", "xMinYMin");
    }
  };
  const unscale = () => {
    for (const svg of document.querySelectorAll(".plot .main-svg")) svg.removeAttribute("viewBox");
  };

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => repaint(screen()));
  addEventListener("beforeprint", () => { repaint(paper); scale(); });
  addEventListener("afterprint", () => { unscale(); repaint(screen()); });

  const controls = document.getElementById("controls");
  const cards = document.getElementById("cards");
  const samples = [...cards.children];
  const pick = document.getElementById("pick-class");
  const total = Object.fromEntries([...controls.querySelectorAll("[name=kind]")]
    .map((one) => [one.value, one.nextElementSibling.querySelector("small").textContent]));

  const filter = () => {
    const kind = controls.elements.kind.value;
    for (const sample of samples) {
      sample.hidden = !sample.dataset.kinds.split(" ").includes(kind)
        || (pick.value !== "" && sample.dataset.class !== pick.value);
    }
    const shown = samples.filter((sample) => !sample.hidden).length;
    document.getElementById("shown").textContent = pick.value === ""
      ? `${shown} of ${total[kind]} shown.` : `${shown} shown of this class.`;
    document.getElementById("none").hidden = shown > 0;
  };
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("change", filter);
  filter();

  const blend = document.getElementById("blend");
  const stops = [...controls.querySelectorAll("[data-stop]")];
  const show = () => {
    const at = Number(blend.value);
    const near = stops[Math.round(at)];
    cards.style.setProperty("--t", at);
    blend.setAttribute("aria-valuetext",
      Math.abs(at - Math.round(at)) < 0.05 ? near.textContent : `between, nearest to ${near.textContent}`);
    for (const stop of stops) stop.setAttribute("aria-pressed", Number(stop.dataset.stop) === at);
  };
  blend.addEventListener("input", show);
  for (const stop of stops) {
    stop.addEventListener("click", () => { blend.value = stop.dataset.stop; show(); });
  }
  show();

  document.getElementById("side-by-side").addEventListener("change", (event) => {
    cards.classList.toggle("side", event.target.checked);
  });
  cards.addEventListener("pointermove", (event) => {
    const stack = event.target.closest(".stack");
    if (!stack) return;
    const box = stack.getBoundingClientRect();
    stack.style.setProperty("--t", 2 * (event.clientX - box.left) / box.width);
  });
  cards.addEventListener("pointerout", (event) => {
    event.target.closest(".stack")?.style.removeProperty("--t");
  });

  draw();
})();
