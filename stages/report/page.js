"use strict";
(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
  const STORED = "towerline-theme";
  // Matches of a search that are offered; the best is shown.
  const MATCHES = 10;
  const COLOUR = /^var\(--[a-z0-9-]+\)$/;
  let chosen = read();
  let drawing = 0;

  // A page opened from a file may have no storage; the choice is then lost when the page is closed.
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

  // Values of colours in the current theme, computed by a rendered element.
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

  // A specification with the values of its colours; the data is unchanged.
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

  // Draws the visible charts: a folded chart has no width.
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
      // vega-embed labels the element that it draws into; the label for the reader is on its parent.
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

  // An element with children; a text among them becomes a text node, never markup.
  function element(name, attributes, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function textOf(name) {
    return element("bdi", {}, name);
  }

  // The users and items of the index, each with its name, id, a detail, and its lists of lines.
  function entriesOf(index) {
    const users = new Map();
    const items = new Map();
    const user = (number) => ({ name: index.user_names[number], entry: users.get(number) });
    const item = (number) => ({ name: index.item_names[number], entry: items.get(number), detail: typeOf(number) });
    const typeOf = (number) => (index.types.length > 1 ? index.types[index.item_types[number]] : "");
    const ranked = (number) => ({ ...item(number < 0 ? ~number : number), heldOut: number < 0 });
    const similar = (list, line) =>
      list.flatMap((number, position) => {
        if (position % 2) return [];
        const similarity = (list[position + 1] / 100).toFixed(2);
        const { detail, ...others } = line(number);
        return [{ ...others, detail: detail ? `${detail}, ${similarity}` : similarity }];
      });
    for (const [number, recommended, near] of index.users) {
      const name = index.user_names[number];
      const lists = () => [["Recommended", recommended.map(ranked)], ["Similar users", similar(near, user)]];
      users.set(number, { name, id: name, kind: "user", detail: "user", lists });
    }
    for (const [number, id, near] of index.items) {
      const kind = index.types[index.item_types[number]];
      const lists = () => [["Similar items", similar(near, item)]];
      items.set(number, { name: index.item_names[number], id, kind, detail: `${kind} ${id}`, lists });
    }
    return [...users.values(), ...items.values()];
  }

  // 0 if the text equals the sought one, 1 if it starts with it, 2 if it contains it, else 3.
  function distance(text, sought) {
    const lower = text.toLowerCase();
    return lower === sought ? 0 : lower.startsWith(sought) ? 1 : lower.includes(sought) ? 2 : 3;
  }

  function matchesOf(entries, sought) {
    const measured = entries.map((entry) => [Math.min(distance(entry.name, sought), distance(entry.id, sought)), entry]);
    return [0, 1, 2].flatMap((wanted) => measured.filter(([far]) => far === wanted).map(([, entry]) => entry));
  }

  function search(box) {
    const input = box.querySelector("input");
    const [status, matches, shown] = ["[role=status]", ".matches", ".shown"].map((selector) => box.querySelector(selector));
    let entries = null;

    function line({ name, entry, detail, heldOut }) {
      // A link, since a button does not wrap as text does.
      const label = entry ? element("a", { href: "#search" }, textOf(name)) : textOf(name);
      if (entry) label.addEventListener("click", (event) => open(event, entry));
      const made = element("li", heldOut ? { class: "held-out" } : {}, label);
      if (detail) made.append(" ", element("small", {}, detail));
      if (heldOut) made.append(" ", element("span", { class: "tick", role: "img", "aria-label": "in the test set" }, "✓"));
      return made;
    }

    function card(entry) {
      const lists = entry.lists().map(([heading, lines]) => {
        const content = lines.length ? element("ol", {}, ...lines.map(line)) : element("p", {}, "none");
        return element("div", {}, element("h4", {}, heading), content);
      });
      const title = element("h3", {}, textOf(entry.name));
      return element("article", { tabindex: "-1" }, title, element("p", {}, textOf(entry.detail)), element("div", { class: "lists" }, ...lists));
    }

    function choose(entry) {
      shown.replaceChildren(...(entry ? [card(entry)] : []));
      for (const button of matches.children) button.setAttribute("aria-pressed", String(button.entry === entry));
    }

    function button(entry) {
      const made = element("button", { type: "button" }, textOf(entry.name), " ", element("small", {}, entry.kind));
      made.entry = entry;
      made.addEventListener("click", () => choose(entry));
      return made;
    }

    function find() {
      entries ??= entriesOf(JSON.parse(box.querySelector("script").textContent));
      const sought = input.value.trim().toLowerCase();
      const results = sought ? matchesOf(entries, sought) : [];
      const first = results.slice(0, MATCHES);
      matches.replaceChildren(...(first.length > 1 ? first.map(button) : []));
      choose(first[0]);
      status.textContent = "";
      if (sought && !results.length) status.textContent = `No user and no item of this page has “${input.value.trim()}” in its id or title.`;
      if (results.length) status.textContent = results.length === 1 ? "1 match" : `${results.length.toLocaleString("en")} matches`;
      if (results.length > MATCHES) status.textContent += `; the first ${MATCHES} are:`;
    }

    function open(event, entry) {
      event.preventDefault();
      input.value = entry.name;
      find();
      choose(entry);
      shown.firstElementChild.focus();
    }

    input.addEventListener("input", find);
    box.hidden = false;
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
    // A reloaded page keeps the choice.
    choose(choice);
  }
  document.querySelectorAll(".search").forEach(search);
  // The toggle event of <details> does not bubble.
  document.addEventListener("toggle", draw, { capture: true });
  show();
})();
