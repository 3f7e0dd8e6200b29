// Draws each figure's data with Plotly. Colours come from the style sheet, so that they follow light and dark.
(() => {
  const style = () => getComputedStyle(document.documentElement);
  const coloured = (value, colours) => {
    if (typeof value === "string" && value.startsWith("--")) return colours.getPropertyValue(value).trim();
    if (Array.isArray(value)) return value.length && typeof value[0] === "object" ? value.map((v) => coloured(v, colours)) : value;
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, coloured(v, colours)]));
    return value;
  };
  const draw = (chart) => {
    const { data, layout } = coloured(chart.figure, style());
    Plotly.react(chart.place, data, layout, { displayModeBar: false, responsive: true });
  };
  const drawn = [];
  const load = async (figure) => {
    const summary = figure.querySelector("[data-summary]"), place = figure.querySelector("[data-plot]");
    try {
      const answer = await fetch(figure.dataset.chart, { headers: { Accept: "application/json" } });
      const chart = await answer.json();
      summary.textContent = chart.error || chart.text;
      if (!chart.count) return;
      drawn.push({ figure: chart.figure, place });
      draw(drawn.at(-1));
    } catch {
      summary.textContent = "The chart could not be loaded. Load the page again.";
    }
  };
  document.querySelectorAll("[data-chart]").forEach(load);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach(draw));
})();
