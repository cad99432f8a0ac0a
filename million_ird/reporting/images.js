// Images: enlarging, walking through them by arrow keys, and a filter. Works without the sliders, too.
{
  const byId = (id) => document.getElementById(id);
  const viewer = byId("viewer");
  const picks = { source: byId("by-source"), reason: byId("by-reason"), class: byId("by-class") };
  let open = null; // the list item that is enlarged

  const shown = (item) => item && item.offsetParent !== null && item.querySelector("figure > img");
  const all = () => [...document.querySelectorAll("main .wall li")].filter(shown);

  function enlarge(item) {
    open = item;
    const figure = item.querySelector("figure").cloneNode(true);
    figure.querySelectorAll("img").forEach((image) => {
      image.removeAttribute("tabindex");
      image.loading = "eager";
    });
    const name = figure.querySelector("bdi");
    name.textContent = `${name.title} · ${item.dataset.reason}`;
    const crops = figure.querySelectorAll(".crops img");
    crops.forEach((image) => {
      const titled = document.createElement("span");
      titled.append(image.cloneNode(), image.title.replace(", 1:1", ", enlarged"));
      image.replaceWith(titled);
    });
    byId("enlarged").replaceChildren(figure);
    if (!viewer.open) viewer.showModal();
  }

  function step(items, item, by) {
    const place = items.indexOf(item) + by;
    return items[Math.min(Math.max(place, 0), items.length - 1)];
  }

  function walk(by) {
    const next = step(all(), open, by);
    if (next) enlarge(next);
  }

  // One image of each wall can be reached by Tab; arrow keys go to its neighbours.
  function prepare() {
    document.querySelectorAll("main .wall").forEach((wall) => {
      wall.querySelectorAll("figure > img").forEach((image, number) => {
        image.tabIndex = number ? -1 : 0;
        image.setAttribute("role", "button");
      });
    });
    filter();
  }

  const arrows = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };
  viewer.addEventListener("keydown", (event) => {
    if (!(event.key in arrows)) return;
    event.preventDefault();
    walk(arrows[event.key]);
  });
  viewer.addEventListener("click", (event) => event.target === viewer && viewer.close());
  viewer.addEventListener("close", () => shown(open) && open.querySelector("figure > img").focus());
  byId("previous").addEventListener("click", () => walk(-1));
  byId("next").addEventListener("click", () => walk(1));
  document.addEventListener("click", (event) => {
    const item = event.target.closest("main .wall figure img") && event.target.closest("li");
    if (item) enlarge(item);
  });
  document.addEventListener("keydown", (event) => {
    const image = event.target.closest("main .wall figure > img");
    if (!image) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      enlarge(image.closest("li"));
    } else if (event.key in arrows) {
      event.preventDefault();
      const wall = [...image.closest(".wall").children].filter(shown);
      step(wall, image.closest("li"), arrows[event.key]).querySelector("figure > img").focus();
    }
  });

  function choices(select, values) {
    [...new Set(values)].sort().forEach((value) => select.add(new Option(value, value)));
    select.parentElement.hidden = select.options.length < 3;
    select.addEventListener("change", filter);
  }

  function filter() {
    const { source, reason } = { source: picks.source.value, reason: picks.reason.value };
    let left = 0;
    document.querySelectorAll("main li[data-source]").forEach((item) => {
      const other = reason && item.dataset.reason !== undefined && item.dataset.reason !== reason;
      item.hidden = Boolean((source && item.dataset.source !== source) || other);
      if (!item.hidden && item.dataset.at !== undefined && item.closest("#images")) left++;
    });
    document.querySelectorAll("tr[data-class]").forEach((row) => {
      row.hidden = Boolean(picks.class.value && row.dataset.class !== picks.class.value);
    });
    byId("matching").textContent = source || reason ? `${left} of the images below` : "";
  }

  const values = (chosen, name) => [...document.querySelectorAll(chosen)].map((one) => one.dataset[name]);
  choices(picks.source, values("main li[data-source]", "source"));
  choices(picks.reason, values("main li[data-reason]", "reason"));
  choices(picks.class, values("tr[data-class]", "class"));
  byId("filter").hidden = Object.values(picks).every((select) => select.parentElement.hidden);
  document.addEventListener("changed", prepare);
  const written = new Date(document.lastModified);
  byId("written").textContent = `, written ${written.toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric" })}`;
  prepare();
}
