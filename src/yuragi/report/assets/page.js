"use strict";
// Draws the figures in the colours of the page, changes these, and sorts the table of uncertain rows.
(() => {
  const page = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const preferred = matchMedia("(prefers-color-scheme: dark)");
  const toggle = document.getElementById("theme");

  // -- colours: a figure names roles, and the style sheet says what they are, in light and in dark
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);

  function colour(role) {
    probe.style.color = "";
    probe.style.color = `var(--${role})`;
    return getComputedStyle(probe).color;
  }

  function painted(value, key) {
    if (Array.isArray(value)) {
      if (key === "colorscale") return value.map(([at, role]) => [at, colour(role)]);
      return typeof value[0] === "object" ? value.map((one) => painted(one)) : value;
    }
    if (value !== null && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, painted(inner, name)]));
    }
    return key === "color" || key === "fillcolor" ? colour(value) : value;
  }

  // -- figures
  function axis(own) {
    const line = colour("edge");
    const common = { automargin: true, gridcolor: colour("grid"), linecolor: line, zeroline: false, showline: true };
    return { ...common, ticks: "outside", tickcolor: line, ...own, title: { standoff: 8, ...own.title } };
  }

  function layout(own) {
    const text = colour("text");
    const axes = Object.fromEntries(
      Object.entries(own).filter(([name]) => /^[xy]axis\d*$/.test(name)).map(([name, value]) => [name, axis(value)]),
    );
    return {
      autosize: true,
      margin: { l: 56, r: 28, t: 40, b: 48 },
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: text },
      paper_bgcolor: "rgba(0, 0, 0, 0)",
      plot_bgcolor: "rgba(0, 0, 0, 0)",
      hovermode: "closest",
      hoverlabel: { bgcolor: colour("raised"), bordercolor: colour("muted"), font: { color: text }, namelength: -1 },
      // under the buttons, however many lines it takes
      legend: { orientation: "h", x: 0, yref: "container", y: 0.91, yanchor: "top", itemsizing: "constant" },
      modebar: { bgcolor: "rgba(0, 0, 0, 0)", color: colour("muted"), activecolor: text },
      // on a touch screen a finger scrolls the page; the buttons zoom
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
      ...painted(own),
      ...axes,
    };
  }

  const locale = { dictionary: page.buttons, format: { months: page.months, shortMonths: page.months } };
  const config = {
    responsive: true,
    displaylogo: false,
    showTips: false,
    displayModeBar: true,
    // named one by one: among plotly's own choice is a button that sends the data of the figure to its makers
    modeBarButtons: [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"]],
    plotlyServerURL: "",
    locale: page.lang,
    locales: { [page.lang]: locale },
  };

  let drawing = Promise.resolve();

  function draw() {
    // one after the other, so that the page answers meanwhile
    for (const figure of page.figures) {
      drawing = drawing.then(async () => {
        const place = document.getElementById(`figure-${figure.name}`);
        await Plotly.react(place, painted(figure.data), layout(figure.layout), config);
        // the text beside the picture says what it shows
        place.querySelectorAll(".main-svg").forEach((svg) => svg.setAttribute("aria-hidden", "true"));
        await new Promise((resolve) => setTimeout(resolve));
      });
    }
    drawing = drawing.then(() => { root.dataset.drawn = root.dataset.theme; });
  }

  // -- light and dark
  function show(dark) {
    root.dataset.theme = dark ? "dark" : "light";
    toggle.setAttribute("aria-pressed", String(dark));
    draw();
  }

  toggle.addEventListener("click", () => show(root.dataset.theme !== "dark"));
  preferred.addEventListener("change", () => show(preferred.matches));
  show(preferred.matches);

  // -- sorting
  function value(row, column) {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  }

  function sort(table, heading) {
    const column = heading.cellIndex;
    const ascending = heading.getAttribute("aria-sort") === "descending";
    const rows = [...table.tBodies[0].rows];
    const numbers = rows.some((row) => value(row, column) !== null);
    rows.sort((one, other) => {
      if (!numbers) {
        const order = one.cells[column].textContent.localeCompare(other.cells[column].textContent, page.lang);
        return ascending ? order : -order;
      }
      const [a, b] = [value(one, column), value(other, column)];
      if (a === null || b === null) return (a === null) - (b === null); // what is not known comes last
      return ascending ? a - b : b - a;
    });
    table.tBodies[0].append(...rows);
    table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
    const order = ascending ? "ascending" : "descending";
    heading.setAttribute("aria-sort", order);
    document.getElementById("sorted").textContent = page.sorted[order].replace("{column}", () => heading.textContent);
  }

  for (const button of document.querySelectorAll(".sortable thead button")) {
    button.addEventListener("click", () => sort(button.closest("table"), button.closest("th")));
  }
})();
