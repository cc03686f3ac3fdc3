"use strict";
(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
  const STORED = "towerline-theme";
  const COLOUR = /^var\(--[a-z0-9-]+\)$/;
  let chosen = read();
  let drawing = 0;

  // A page opened from a file may have no storage; the choice then lasts as long as the page.
  function read() {
    try {
      return localStorage.getItem(STORED);
    } catch {
      return null;
    }
  }

  function keep(theme) {
    try {
      localStorage.setItem(STORED, theme);
    } catch {
      return;
    }
  }

  function isDark() {
    return chosen === null ? systemIsDark.matches : chosen === "dark";
  }

  // What a colour of the style sheet is in the present theme: only a rendered element knows.
  function resolver() {
    const probe = document.body.appendChild(document.createElement("span"));
    const known = new Map();
    return {
      of(colour) {
        if (!known.has(colour)) {
          probe.style.color = colour;
          known.set(colour, getComputedStyle(probe).color);
        }
        return known.get(colour);
      },
      end() {
        probe.remove();
      },
    };
  }

  // A specification with its colours put in; the data is left as it is.
  function coloured(content, colours) {
    if (typeof content === "string") return COLOUR.test(content) ? colours.of(content) : content;
    if (Array.isArray(content)) return content.map((value) => coloured(value, colours));
    if (content === null || typeof content !== "object") return content;
    return Object.fromEntries(
      Object.entries(content).map(([key, value]) => [key, key === "data" ? value : coloured(value, colours)]),
    );
  }

  function configuration() {
    const font = getComputedStyle(root).fontFamily;
    const axis = { labelColor: "var(--quiet)", titleColor: "var(--quiet)", gridColor: "var(--line)" };
    return {
      aria: false,
      background: "transparent",
      font,
      view: { stroke: null },
      axis: { ...axis, domainColor: "var(--line)", tickColor: "var(--line)", labelSeparation: 6, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500 },
      legend: { labelColor: "var(--ink)", labelFontSize: 12, symbolType: "square", symbolStrokeWidth: 0 },
      text: { color: "var(--ink)" },
    };
  }

  // Draws what is visible: a chart that is folded has no width to be drawn for.
  async function draw() {
    const turn = ++drawing;
    root.dataset.charts = "drawing";
    const colours = resolver();
    const config = coloured(configuration(), colours);
    const theme = isDark() ? "dark" : "light";
    for (const plot of document.querySelectorAll(".plot")) {
      if (plot.dataset.theme === theme || !plot.checkVisibility()) continue;
      const spec = coloured(JSON.parse(plot.nextElementSibling.textContent), colours);
      plot.view?.finalize();
      // Vega names the element that it draws into after itself: the name for the reader is on the one around it.
      const drawn = await vegaEmbed(plot.firstElementChild, spec, {
        mode: "vega-lite",
        renderer: plot.dataset.renderer,
        actions: false,
        ast: true,
        defaultStyle: false,
        config,
        tooltip: { theme },
      });
      if (turn !== drawing) break;
      plot.view = drawn.view;
      plot.dataset.theme = theme;
    }
    colours.end();
    if (turn === drawing) root.dataset.charts = "ready";
  }

  function choose(choice) {
    const chosen = choice.querySelector("select").selectedIndex;
    choice.querySelectorAll(":scope > .option").forEach((option, position) => {
      option.hidden = position !== chosen;
    });
  }

  function show() {
    const dark = isDark();
    root.style.colorScheme = dark ? "dark" : "light";
    root.dataset.theme = dark ? "dark" : "light";
    button.setAttribute("aria-pressed", String(dark));
    draw();
  }

  button.addEventListener("click", () => {
    chosen = isDark() ? "light" : "dark";
    keep(chosen);
    show();
  });
  systemIsDark.addEventListener("change", show);
  for (const choice of document.querySelectorAll(".choice")) {
    choice.querySelector("select").addEventListener("change", () => {
      choose(choice);
      draw();
    });
    // A reloaded page keeps what was chosen.
    choose(choice);
  }
  // The event of a <details> does not bubble.
  document.addEventListener("toggle", draw, { capture: true });
  show();
})();
