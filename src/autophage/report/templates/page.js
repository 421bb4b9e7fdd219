(function () {
  "use strict";
  const specifications = JSON.parse(document.getElementById("specifications").textContent);
  const sans = getComputedStyle(document.body).fontFamily;
  const quiet = {
    labelColor: "var(--muted)", titleColor: "var(--muted)", gridColor: "var(--line)", domainColor: "var(--line)",
    tickColor: "var(--line)", labelFont: sans, titleFont: sans, labelFontSize: 11, titleFontSize: 11,
    titleFontWeight: "normal", titlePadding: 6, labelPadding: 5, tickSize: 4, labelOverlap: true
  };
  const config = {
    aria: false, font: sans, view: { stroke: null }, axis: quiet,
    axisY: { domain: false, ticks: false, gridOpacity: 0.8 }, text: { font: sans }
  };
  specifications.forEach(function (specification, n) {
    const place = document.getElementById("chart-" + n);
    vegaEmbed(place, specification, { mode: "vega-lite", actions: false, renderer: "svg", config: config })
      .catch(function () {
        place.textContent = "This chart could not be drawn; the table below holds its numbers.";
      });
  });
})();
