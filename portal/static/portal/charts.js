// Draws the vitals' history with Plotly. Colours come from the style sheet, so that they follow light and dark. Charts of
// the time up to now are drawn again every minute.
(() => {
  const FOLLOW_MS = 60000;
  const all = document.querySelector("[data-charts]");
  if (!all) return;
  const figures = [...all.querySelectorAll("[data-vital]")], drawn = new Map();
  const say = (figure, text) => { figure.querySelector("[data-summary]").textContent = text; };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const draw = (figure, { data, layout }) => {
    for (const trace of data) {
      if (trace.name === "band") trace.fillcolor = colour("band");
      if (trace.name === "mean") { trace.line.color = colour("series"); trace.marker.color = colour("series"); }
    }
    for (const shape of layout.shapes || []) shape.line.color = colour("limit");
    Object.assign(layout, { paper_bgcolor: colour("card"), plot_bgcolor: colour("card") });
    layout.font.color = colour("quiet");
    for (const axis of [layout.xaxis, layout.yaxis]) axis.gridcolor = axis.linecolor = colour("rule");
    Plotly.react(figure.querySelector("[data-plot]"), data, layout, { displayModeBar: false, responsive: true });
  };
  const load = async () => {
    try {
      const answer = await fetch(all.dataset.charts, { headers: { Accept: "application/json" } });
      const { charts, error } = await answer.json();
      for (const figure of figures) {
        const chart = charts?.[figure.dataset.vital];
        say(figure, chart?.text ?? error);
        figure.classList.toggle("empty", !chart?.count);
        if (chart?.count) { drawn.set(figure, chart.figure); draw(figure, chart.figure); }
        else if (drawn.delete(figure)) Plotly.purge(figure.querySelector("[data-plot]"));
      }
    } catch {
      for (const figure of figures) say(figure, "The chart could not be loaded. Load the page again.");
    }
  };
  for (const figure of figures) say(figure, "Loading…");
  load();
  if ("follow" in all.dataset) setInterval(() => document.hidden || load(), FOLLOW_MS);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach((chart, figure) => draw(figure, chart)));
})();
