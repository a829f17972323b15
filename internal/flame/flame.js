"use strict";
(() => {
  const $ = id => document.getElementById(id);
  const graph = $("graph"), detail = $("detail"), search = $("search"), matched = $("matched"), view = $("view"), colour = $("colour"), ends = $("endpoint");
  const make = (tag, props, ...kids) => {
    const e = Object.assign(document.createElement(tag), props);
    e.append(...kids);
    return e;
  };

  let tab = null;         // of data.tabs
  let whole = null;       // its tree
  let endTotals = null;   // endpoint -> its samples
  let root = null;        // what is shown: the tree, an endpoint's part, or its callers
  let upright = null;     // root before it was turned over to callers
  let zoomed = null;      // a node of root
  let back = [];          // nodes that were zoomed to
  let current = null;     // node under the pointer or the focus
  let pattern = null;     // what is searched
  let lit = null;         // look or package that the legend highlights
  let chosen = null;      // function of the panel
  let sortBy = "self";
  let packages = new Map(); // package -> colour
  const hues = ["#f2a65e", "#86b8f0", "#8ccf7e", "#f28db8", "#b9a6f2", "#6fc9c0", "#fbe06a", "#d9b48f", "#a3b1c4", "#c6d96b"];
  const marked = new Set(data.highlight || []);

  // Words and numbers.

  const funcOf = n => n.f === trees.OTHER ? ["(smaller frames)", "(frames below 0.05 %)", "", 0] : tab.funcs[n.f];
  const nameOf = n => funcOf(n)[0];
  const fullOf = n => funcOf(n)[1];
  const share = (part, of) => of > 0 ? 100 * part / of : 0;
  function percent(part, of) {
    const f = share(part, of);
    return f === 0 ? "0 %" : f < 0.05 ? "<0.1 %" : f.toFixed(f < 9.95 ? 1 : 0) + " %";
  }
  function points(change) {
    const f = Math.abs(change);
    return f < 0.05 ? "±0 points" : (change < 0 ? "−" : "+") + f.toFixed(f < 9.95 ? 1 : 0) + (f === 1 ? " point" : " points");
  }
  function amount(v) {
    if (tab.unit === "bytes") {
      const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
      let i = 0;
      while (v >= 1024 && i < units.length - 1) { v /= 1024; i++; }
      return v.toFixed(i > 0 && v < 9.95 ? 1 : 0) + " " + units[i];
    }
    if (tab.unit === "nanoseconds") {
      const s = v / 1e9, of = tab.kind === "mutex" || tab.kind === "block" ? " of delay" : "";
      return (s >= 100 ? s.toFixed(0) + " s" : s >= 1 ? s.toFixed(2) + " s" : s >= 0.001 ? (s * 1e3).toFixed(0) + " ms" : (s * 1e6).toFixed(0) + " µs") + of;
    }
    return v.toLocaleString("en") + " " + (v === 1 ? tab.unit.replace(/s$/, "") : tab.unit);
  }
  const change = n => share(n.u, whole.u) - share(n.b, whole.b);
  const sure = n => Math.abs(trees.z(n, whole, tab.perSample)) >= 2;

  function describe(n) {
    const f = funcOf(n), first = n === root ? rootName() : f[1];
    const place = f[2] && n !== root ? "\n" + f[2] + (f[3] ? ":" + f[3] : "") : "";
    if (tab.diff) {
      return first + "\n" + percent(n.b, whole.b) + " → " + percent(n.u, whole.u) + " of all (" + points(change(n)) + ", z = " +
        trees.z(n, whole, tab.perSample).toFixed(1) + (sure(n) ? ", significant" : ", not significant") + "); " + amount(n.b) + " → " + amount(n.u) + place;
    }
    let text = amount(n.t);
    if (tab.perSecond > 0) text += " (" + (n.t / tab.perSecond).toFixed(2) + " s)";
    text += ", " + percent(n.t, whole.t) + " of all";
    if (n.end >= 0) text += ", " + percent(n.t, endTotals.get(n.end)) + " of " + tab.ends[n.end];
    if (n.s && view.value !== "callers") text += ", " + percent(n.s, whole.t) + " in the function itself";
    return first + "\n" + text + place;
  }

  // Colours.

  function packageOf(n) {
    const full = fullOf(n), paren = full.indexOf("(");
    const head = paren < 0 ? full : full.slice(0, paren), slash = head.lastIndexOf("/") + 1;
    const dot = full.indexOf(".", slash);
    return dot < 0 ? "runtime" : full.slice(0, dot);
  }
  function lookOf(n) {
    if (!tab.diff) return n.look;
    const c = change(n), size = Math.abs(c), step = size >= 10 ? 3 : size >= 2 ? 2 : 1;
    return !sure(n) || c === 0 ? data.same : c > 0 ? data.same - step : data.same + step;
  }
  const kindOf = n => colour.value === "package" ? packageOf(n) : lookOf(n);
  const paint = n => colour.value === "package" ? packages.get(packageOf(n)) || "#dcdcdc" : data.looks[lookOf(n)].rgb;

  // Drawing.

  const rootName = () => root && root.end >= 0 ? tab.ends[root.end] : "all";
  const pen = document.createElement("canvas").getContext("2d");
  // shorter lists a function's names from whole to bare: "json.(*Decoder).Decode",
  // "(*Decoder).Decode", "Decode".
  function shorter(name) {
    const out = [name], pkg = /^[^.( ]+\.(?=.)/.exec(name);
    if (pkg) out.push(name.slice(pkg[0].length));
    const bare = /[^.)\s]+(\.func\d+|\.\d+|\.gowrap\d+|\.deferwrap\d+|-range\d+|-fm)*$/.exec(name);
    if (bare && bare[0] !== out[out.length - 1]) out.push(bare[0]);
    return out;
  }
  // label is the most telling text that fits: the whole name with the share,
  // else a shorter one; what does not fit even so is cut by the style.
  function label(n, width) {
    if (n === root) return tab.diff ? rootName() + ": " + amount(n.b) + " → " + amount(n.u) : rootName() + ": " + amount(n.t) + (root.t < whole.t ? ", " + percent(n.t, whole.t) + " of all" : "");
    const names = shorter(nameOf(n)), share = tail(n), last = names[names.length - 1];
    if (n.first && tab.ends[n.end] !== nameOf(n)) names.splice(0, names.length, tab.ends[n.end] + "  ·  " + names[0], ...shorter(tab.ends[n.end]));
    if (n.folded) {
      const frames = " (" + (n.folded.length + 1) + " frames)";
      names.splice(0, names.length, names[0] + " … " + nameOf(n.folded[n.folded.length - 1]) + frames, names[0] + " …" + frames, last + " …");
    }
    const tries = names.flatMap((name, i) => share ? (i ? [name + "  " + share, name] : [name + "  " + share]) : [name]);
    if (names.length === 3 && share && !n.first) tries.splice(3, 0, names[0]);
    pen.font = (n.first ? "700 " : "") + "12px system-ui, sans-serif";
    return tries.find(t => pen.measureText(t).width <= width) || names[names.length - 1];
  }
  const tail = n => tab.diff ? (sure(n) ? points(change(n)) : "") : percent(n.t, root.t);

  // below is what hangs below a box: its callees, and where routing is folded,
  // those of the frames that the box stands for.
  function below(n) {
    n.folded = null;
    if (!$("fold").checked || n.look !== data.routing || n === root) return n.kids;
    const run = [], aside = [];
    let last = n;
    for (;;) {
      const next = last.kids.filter(k => k.look === data.routing);
      if (next.length !== 1 || next[0].t < 0.5 * last.t || lookOf(next[0]) !== lookOf(n)) break;
      aside.push(...last.kids.filter(k => k !== next[0]));
      last = next[0];
      run.push(last);
    }
    if (!run.length) return n.kids;
    n.folded = run;
    return [...last.kids, ...aside].sort((a, b) => b.t - a.t);
  }

  let boxes = []; // as drawn: {n, x, w, row, e, up}
  function draw() {
    const width = graph.clientWidth || 300, rowHeight = parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row")) || 22;
    boxes = [];
    let deepest = 0;
    (function place(n, x, w, row, up) {
      const box = {n, x, w, row, up};
      boxes.push(box);
      deepest = Math.max(deepest, row);
      const kids = below(n);
      let at = x;
      for (const k of kids) {
        const kw = Math.min(w * k.t / n.t, x + w - at);
        if (kw >= 1) place(k, at, kw, row + 1, box);
        at += kw;
      }
    })(zoomed, 0, width, 0, null);
    const flame = view.value === "flame";
    graph.replaceChildren(...boxes.map(b => {
      const {n} = b, e = document.createElement("div");
      // Edges on whole pixels, one apart: narrow boxes never lie on one another.
      const x0 = Math.floor(b.x), x1 = Math.floor(b.x + b.w);
      const w = Math.max(1, x1 - x0 - (x1 - x0 > 2 ? 1 : 0));
      e.style.left = x0 + "px";
      e.style.width = w + "px";
      e.style.top = (flame ? deepest - b.row : b.row) * rowHeight + "px";
      if (n === root) e.className = "root"; else e.style.background = paint(n);
      e.tabIndex = -1;
      e.setAttribute("role", "treeitem");
      e.setAttribute("aria-level", b.row + 1);
      e.setAttribute("aria-label", describe(n));
      if (w > 28) {
        e.classList.add("named");
        e.textContent = label(n, w - 8);
      }
      if (n.first) e.classList.add("first");
      if (n.first && w >= 8 && marked.has(tab.ends[n.end])) e.classList.add("marked");
      if (lit !== null && kindOf(n) !== lit) e.classList.add("dim");
      if (pattern && n !== root && [n, ...(n.folded || [])].some(m => pattern.test(fullOf(m)))) e.classList.add("hit");
      else if (pattern && n !== root) e.classList.add("missed");
      b.e = e;
      e.box = b;
      return e;
    }));
    graph.style.height = (deepest + 1) * rowHeight + "px";
    const at = boxes.find(b => b.n === current) || boxes[0];
    at.e.tabIndex = 0;
    crumbs();
  }

  function crumbs() {
    const path = [];
    for (let n = zoomed; n && n !== root; n = n.parent) path.unshift(n);
    if (!path.length) return $("crumbs").replaceChildren();
    const shown = [root, ...path], out = [];
    shown.forEach((n, i) => {
      if (shown.length > 6 && i > 1 && i < shown.length - 3) {
        if (i === 2) out.push(make("span", {textContent: "› … " + (shown.length - 5) + " frames "}));
        return;
      }
      if (i) out.push(make("span", {textContent: "›"}));
      const b = make("button", {type: "button", textContent: n === root ? rootName() : nameOf(n), onclick: () => zoom(n)});
      if (n === zoomed) b.setAttribute("aria-current", "true");
      out.push(b);
    });
    $("crumbs").replaceChildren(...out);
  }

  function legend() {
    // By meaning the whole is known; by package only what was not left out.
    const own = new Map();
    if (colour.value === "package") trees.walk(upright, n => own.set(packageOf(n), (own.get(packageOf(n)) || 0) + n.s));
    else if (tab.diff) trees.walk(upright, n => { if (n !== upright) own.set(lookOf(n), 0); });
    else {
      trees.walk(upright, n => { if (n !== upright) own.set(n.look, 0); });
      for (const [end, looks] of Object.entries(tab.own)) {
        if (upright !== whole && end !== tab.ends[upright.end]) continue;
        for (const [look, n] of Object.entries(looks)) own.set(+look, (own.get(+look) || 0) + n);
      }
    }
    const keys = colour.value === "package" ? [...packages.keys()].filter(k => own.has(k)) : data.looks.map((_, i) => i).filter(i => own.has(i));
    $("legend").replaceChildren(...keys.map(key => {
      const box = make("i"), name = colour.value === "package" ? key : data.looks[key].label;
      box.style.background = colour.value === "package" ? packages.get(key) : data.looks[key].rgb;
      const b = make("button", {type: "button", onclick: () => { lit = lit === key ? null : key; legend(); draw(); }}, box, name + (tab.diff ? "" : " " + percent(own.get(key), upright.t)));
      b.setAttribute("aria-pressed", lit === key);
      b.title = "own " + (tab.unit === "samples" ? "time" : tab.unit) + "; press to highlight";
      return b;
    }));
  }

  // rankPackages gives colours to the packages in which most samples end.
  function rankPackages() {
    const own = new Map();
    trees.walk(upright, n => own.set(packageOf(n), (own.get(packageOf(n)) || 0) + n.s));
    packages = new Map([...own].filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]).slice(0, hues.length).map(([p], i) => [p, hues[i]]));
  }

  // What is shown.

  function zoom(n, remember = true) {
    if (remember && n !== zoomed) back.push(zoomed);
    zoomed = current = n;
    draw();
    focus(boxes[0]);
  }

  function focus(b) {
    if (!b) return;
    for (const other of boxes) other.e.tabIndex = -1;
    b.e.tabIndex = 0;
    b.e.focus({preventScroll: true});
    b.e.scrollIntoView({block: "nearest"});
  }

  function show(n) {
    current = n;
    detail.textContent = describe(n);
    $("copy").hidden = $("peek").hidden = n === root;
  }

  // rebuild makes the tree that is shown from the tab, the endpoint and the view.
  function rebuild() {
    const end = ends.value === "" ? -1 : tab.ends.indexOf(ends.value);
    upright = end >= 0 ? trees.endpoint(whole, end) : whole;
    root = view.value === "callers" ? trees.invert(upright) : upright;
    zoomed = current = root;
    back = [];
    lit = null;
    rankPackages();
    legend();
    find();
    if (!$("panel").hidden) table();
    remember();
  }

  function open(i) {
    tab = data.tabs[i];
    whole = trees.read(tab);
    [...$("tabs").children].forEach((b, j) => {
      b.setAttribute("aria-selected", j === i);
      b.tabIndex = j === i ? 0 : -1;
    });
    const was = ends.value || data.zoom;
    endTotals = new Map();
    trees.walk(whole, n => { if (n.first) endTotals.set(n.end, (endTotals.get(n.end) || 0) + n.t); });
    ends.replaceChildren(make("option", {value: "", textContent: "all endpoints"}),
      ...[...endTotals].sort((a, b) => b[1] - a[1]).map(([e, n]) => make("option", {value: tab.ends[e], textContent: tab.ends[e] + "  " + percent(n, whole.t)})));
    ends.value = tab.ends.includes(was) ? was : "";
    colour.options[0].textContent = tab.diff ? "by change" : "by meaning";
    chosen = null;
    $("note").textContent = tab.dropped ? tab.dropped.toLocaleString("en") + (tab.dropped === 1 ? " frame" : " frames") +
      " below 0.05 % of all, and what they call, are left out: " + percent(tab.lost, whole.t) + " together." : "";
    rebuild();
  }

  function find() {
    pattern = null;
    search.setCustomValidity("");
    matched.textContent = "";
    if (search.value) {
      try {
        pattern = new RegExp(search.value, "i");
      } catch (e) {
        search.setCustomValidity(e.message);
        matched.textContent = "not a regular expression";
      }
    }
    if (pattern) {
      // Samples with a match anywhere on the stack, each counted once.
      const sum = {t: 0, b: 0, u: 0};
      (function count(n) {
        if (n !== upright && pattern.test(fullOf(n))) {
          for (const k in sum) sum[k] += n[k];
          return;
        }
        n.kids.forEach(count);
      })(upright);
      const of = upright === whole ? " of all" : " of " + tab.ends[upright.end];
      // A match among what was left out is not known of.
      matched.textContent = (tab.lost > 0.005 * whole.t ? "at least " : "") + (tab.diff ? percent(sum.b, upright.b) + " → " + percent(sum.u, upright.u) + of : percent(sum.t, upright.t) + of + " " + tab.unit);
    }
    draw();
    if (!$("panel").hidden) table();
  }

  function table() {
    const rows = trees.functions(upright).filter(r => !pattern || pattern.test(fullOf(r)));
    rows.sort((a, b) => b[sortBy] - a[sortBy] || b.total - a.total);
    for (const b of document.querySelectorAll("th button")) b.setAttribute("aria-pressed", b.dataset.sort === sortBy);
    $("table").replaceChildren(...rows.slice(0, 60).map(r => {
      const b = make("button", {type: "button", textContent: fullOf(r), onclick: () => choose(r.f)});
      const tr = make("tr", {className: r.f === chosen ? "on" : ""}, make("td", {textContent: percent(r.self, upright.t)}), make("td", {textContent: percent(r.total, upright.t)}), make("td", {}, b));
      return tr;
    }));
    sandwich();
  }

  function choose(f) {
    chosen = f;
    $("panel").hidden = false;
    $("functions").setAttribute("aria-expanded", true);
    table();
  }

  function sandwich() {
    if (chosen === null) return $("sandwich").replaceChildren(make("p", {textContent: "Choose a function to see who calls it and what it calls."}));
    const a = trees.around(upright, chosen);
    const list = (title, rows) => [make("h4", {textContent: title}), make("ol", {}, ...(rows.length ? rows.slice(0, 12).map(r => {
      const b = make("button", {type: "button", textContent: fullOf(r), onclick: () => choose(r.f)});
      return make("li", {}, make("span", {textContent: percent(r.n, upright.t)}), b);
    }) : [make("li", {textContent: "none"})]))];
    const look = make("button", {type: "button", textContent: "search for it", onclick: () => {
      search.value = "^" + fullOf({f: chosen}).replace(/[.*+?^${}()|[\]\\]/g, "\\$&") + "$";
      find();
      remember();
    }});
    $("sandwich").replaceChildren(make("h3", {textContent: fullOf({f: chosen})}),
      make("span", {textContent: "own " + percent(a.self, upright.t) + ", total " + percent(a.total, upright.t) + "; "}), look,
      ...list("Called by", a.callers), ...list("Calls", a.callees));
  }

  // stack is the frame with its callers, root first, one a line.
  function stack(n) {
    const lines = [];
    for (let m = n; m && m !== root; m = m.parent) {
      const f = funcOf(m);
      lines.push(f[1] + (f[2] ? "\n\t" + f[2] + (f[3] ? ":" + f[3] : "") : ""));
    }
    if (view.value !== "callers") lines.reverse();
    return describe(n).split("\n")[1] + "\n" + lines.join("\n") + "\n";
  }

  async function copy() {
    if (!current || current === root) return;
    const text = stack(current);
    let done = false;
    try {
      await navigator.clipboard.writeText(text);
      done = true;
    } catch {
      // Files and pages without TLS have no clipboard to ask for.
      const area = make("textarea", {value: text, readOnly: true});
      document.body.append(area);
      area.select();
      done = document.execCommand("copy");
      area.remove();
      focus(boxes.find(b => b.n === current));
    }
    detail.textContent = done ? "Copied:\n" + text.split("\n")[1] : text;
  }

  // The address keeps what is shown, for those who send it on.
  function remember() {
    const state = new URLSearchParams();
    const i = data.tabs.indexOf(tab);
    if (i > 0) state.set("tab", i);
    if (ends.value || data.zoom) state.set("endpoint", ends.value);
    if (view.value !== "icicle") state.set("view", view.value);
    if (colour.value !== "meaning") state.set("colour", colour.value);
    if (search.value) state.set("search", search.value);
    try { history.replaceState(null, "", "#" + state); } catch { /* some embeddings forbid it */ }
  }

  function theme(to) {
    document.documentElement.dataset.theme = to;
    $("theme").textContent = to === "dark" ? "Light" : "Dark";
    draw();
  }

  // Moving by keys: to the caller, to the heaviest callee, sideways among what
  // stands in the same row.
  function move(b, key) {
    if (!b) return focus(boxes[0]);
    const flame = view.value === "flame";
    const row = boxes.filter(o => o.row === b.row).sort((x, y) => x.x - y.x);
    let to = null;
    if (key === (flame ? "ArrowDown" : "ArrowUp")) {
      to = b.up;
      if (!to && b.n.parent) return zoom(b.n.parent);
    }
    if (key === (flame ? "ArrowUp" : "ArrowDown")) to = boxes.find(o => o.up === b);
    if (key === "ArrowLeft") to = row[row.indexOf(b) - 1];
    if (key === "ArrowRight") to = row[row.indexOf(b) + 1];
    focus(to);
  }

  function next(by) {
    const hits = boxes.filter(b => b.e.classList.contains("hit"));
    if (!hits.length) return;
    const i = hits.findIndex(b => b.e === document.activeElement);
    focus(hits[(i + by + hits.length) % hits.length]);
  }

  const shift = by => open((data.tabs.indexOf(tab) + by + data.tabs.length) % data.tabs.length);
  const keys = {
    "/": () => search.focus(), "?": () => $("help").showModal(), "0": () => zoom(root), n: () => next(1), N: () => next(-1),
    i: () => set(view, view.value === "flame" ? "icicle" : "flame"), l: () => set(view, view.value === "callers" ? "icicle" : "callers"),
    t: () => $("functions").click(), e: () => ends.focus(), p: () => set(colour, colour.value === "package" ? "meaning" : "package"),
    f: () => { $("fold").click(); }, c: copy, d: () => $("theme").click(), "[": () => shift(-1), "]": () => shift(1),
  };
  function set(select, value) {
    select.value = value;
    select.dispatchEvent(new Event("change"));
    focus(boxes[0]);
  }

  graph.addEventListener("click", e => { if (e.target.box) zoom(e.target.box.n); });
  for (const event of ["mouseover", "focusin"]) graph.addEventListener(event, e => { if (e.target.box) show(e.target.box.n); });
  graph.addEventListener("keydown", e => {
    const b = e.target.box;
    if (e.key === "Enter" && b) zoom(b.n);
    else if (e.key.startsWith("Arrow")) move(b, e.key);
    else return;
    e.preventDefault();
  });
  document.addEventListener("keydown", e => {
    if (e.ctrlKey || e.metaKey || e.altKey || $("help").open) return;
    const typing = e.target === search || e.target.tagName === "SELECT";
    if (e.key === "Escape" && typing) focus(boxes[0]);
    else if (e.key === "Escape") zoom(back.length ? back.pop() : zoomed.parent || root, false);
    else if (e.key === "Enter" && e.target === search) next(1);
    else if (!typing && keys[e.key]) keys[e.key]();
    else return;
    e.preventDefault();
  });
  $("tabs").addEventListener("keydown", e => {
    if (e.key !== "ArrowLeft" && e.key !== "ArrowRight") return;
    shift(e.key === "ArrowLeft" ? -1 : 1);
    $("tabs").children[data.tabs.indexOf(tab)].focus();
  });
  search.addEventListener("input", () => { find(); remember(); });
  ends.addEventListener("change", rebuild);
  view.addEventListener("change", rebuild);
  colour.addEventListener("change", () => { lit = null; legend(); draw(); remember(); });
  $("fold").addEventListener("change", draw);
  $("reset").addEventListener("click", () => {
    data.zoom = ends.value = "";
    rebuild();
    focus(boxes[0]);
  });
  $("functions").addEventListener("click", () => {
    $("panel").hidden = !$("panel").hidden;
    $("functions").setAttribute("aria-expanded", !$("panel").hidden);
    if ($("panel").hidden) return;
    table();
    $("panel").scrollIntoView({block: "nearest"});
  });
  for (const b of document.querySelectorAll("th button")) b.addEventListener("click", () => { sortBy = b.dataset.sort; table(); });
  $("copy").addEventListener("click", copy);
  $("peek").addEventListener("click", () => { choose(current.f); $("panel").scrollIntoView({block: "nearest"}); });
  $("helpkey").addEventListener("click", () => $("help").showModal());
  $("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  window.addEventListener("resize", draw);

  if (data.tabs.length > 1) {
    $("tabs").append(...data.tabs.map((t, i) => {
      const b = make("button", {type: "button", textContent: t.name, onclick: () => open(i)});
      b.setAttribute("role", "tab");
      b.setAttribute("aria-controls", "graph");
      return b;
    }));
  }
  const state = new URLSearchParams(location.hash.slice(1));
  const pick = (select, key) => { if ([...select.options].some(o => o.value === state.get(key))) select.value = state.get(key); };
  pick(view, "view");
  pick(colour, "colour");
  search.value = state.get("search") || "";
  if (state.has("endpoint")) data.zoom = state.get("endpoint");
  open(Math.min(Math.max(0, state.get("tab") | 0), data.tabs.length - 1));
  theme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
})();
