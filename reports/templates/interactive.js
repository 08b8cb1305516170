"use strict";
(() => {
  const amount = (text) => Number(text.replace("\u2212", "-").replace(/[,%<> ]/g, ""));
  const byCell = (column, sign) => (a, b) => {
    const [x, y] = [a, b].map((row) => row.cells[column].textContent.trim());
    const [m, n] = [amount(x), amount(y)];
    return sign * (Number.isNaN(m) || Number.isNaN(n) ? x.localeCompare(y) : m - n);
  };

  for (const heading of document.querySelectorAll("th[data-sort]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const descends = heading.getAttribute("aria-sort") !== "descending";
      for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", descends ? "descending" : "ascending");
      const body = heading.closest("table").tBodies[0];
      body.append(...[...body.rows].sort(byCell(heading.cellIndex, descends ? -1 : 1)));
    });
  }

  const box = document.querySelector("input[data-filter]");
  if (box) {
    const place = box.closest(".filter");
    const rows = [...document.getElementById("all-samples").tBodies[0].rows];
    const show = () => {
      const wanted = box.value.trim().toLowerCase();
      let n = 0;
      for (const row of rows) {
        row.hidden = !row.textContent.toLowerCase().includes(wanted);
        n += !row.hidden;
      }
      place.querySelector("output").textContent = `${n.toLocaleString("en")} of ${rows.length.toLocaleString("en")}`;
    };
    place.hidden = false;
    box.addEventListener("input", show);
    show();
  }

  const at = (points, x) => {
    const right = points.findIndex((point) => point[0] >= x);
    if (right <= 0) return points[right < 0 ? points.length - 1 : 0][1];
    const [[x0, y0], [x1, y1]] = [points[right - 1], points[right]];
    return x1 === x0 ? y1 : y0 + ((y1 - y0) * (x - x0)) / (x1 - x0);
  };
  const percent = (share) => `${Number((100 * share).toPrecision(3))}%`;
  for (const plot of document.querySelectorAll("svg.roc, svg.roc-log")) {
    const decades = Number(plot.dataset.decades || 0);
    const rate = (place) => (decades ? 10 ** (decades * (place / 100 - 1)) : place / 100);
    const curves = [...plot.querySelectorAll("polyline.curve")].reverse().map((line) => ({
      name: line.querySelector("title").textContent,
      points: line.getAttribute("points").trim().split(/\s+/).map((pair) => pair.split(",").map(Number)).map(([x, y]) => [x, 100 - y]),
    }));
    const readout = document.createElement("p");
    readout.className = "readout note";
    readout.setAttribute("role", "status");
    readout.textContent = "Point at the curves, or use the arrow keys, to read them.";
    plot.after(readout);
    plot.setAttribute("tabindex", "0");
    const rule = document.createElementNS("http://www.w3.org/2000/svg", "line");
    rule.setAttribute("class", "rule");
    rule.setAttribute("y2", "100%");
    plot.append(rule);
    let place = 10;
    const read = (wanted) => {
      place = Math.min(100, Math.max(0, wanted));
      rule.setAttribute("x1", `${place}%`);
      rule.setAttribute("x2", `${place}%`);
      const found = curves.map((curve) => `${curve.name} ${percent(rate(at(curve.points, place)))}`);
      readout.textContent = `At ${percent(rate(place))} false positives: ${found.join(", ")}.`;
    };
    plot.addEventListener("pointermove", (event) => {
      const frame = plot.getBoundingClientRect();
      read((100 * (event.clientX - frame.left)) / frame.width);
    });
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -2, ArrowRight: 2 }[event.key];
      if (step) {
        event.preventDefault();
        read(place + step);
      }
    });
  }
})();
