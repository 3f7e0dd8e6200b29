// Draws each figure's data with Plotly. Colours come from the style sheet, so that they follow light and dark.
(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const draw = ({ figure, place }) => {
    for (const trace of figure.data) {
      if (trace.name === "band") trace.fillcolor = colour("band");
      if (trace.name === "mean") { trace.line.color = colour("series"); trace.marker.color = colour("series"); }
    }
    for (const shape of figure.layout.shapes || []) shape.line.color = colour("limit");
    Object.assign(figure.layout, { paper_bgcolor: colour("card"), plot_bgcolor: colour("card") });
    figure.layout.font.color = colour("quiet");
    for (const axis of [figure.layout.xaxis, figure.layout.yaxis]) axis.gridcolor = colour("rule");
    Plotly.react(place, figure.data, figure.layout, { displayModeBar: false, responsive: true });
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
