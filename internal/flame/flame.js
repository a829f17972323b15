"use strict";
(() => {
  const rowHeight = 21;
  const graph = document.getElementById("graph");
  const detail = document.getElementById("detail");
  const search = document.getElementById("search");
  const matched = document.getElementById("matched");
  const root = data.tree;
  const highlight = new Set(data.highlight || []);
  const ends = new Map(); // endpoint -> its samples

  // Parents, and the topmost frames of endpoints, are told once.
  (function link(n, parent) {
    n.parent = parent;
    n.first = n.e && (!parent || parent.e !== n.e);
    if (n.first) ends.set(n.e, (ends.get(n.e) || 0) + n.t);
    for (const k of n.k || []) link(k, n);
  })(root, null);

  let zoomed = root;
  let pattern = null;

  const percent = (part, of) => (100 * part / of).toFixed(part * 10 < of ? 1 : 0) + " %";

  function describe(n) {
    const lines = [(n.f || n.n) + (n.p ? "   " + n.p + (n.l ? ":" + n.l : "") : "")];
    let text = n.t + " " + data.unit;
    if (data.perSecond > 0) text += " (" + (n.t / data.perSecond).toFixed(2) + " s)";
    text += ", " + percent(n.t, root.t) + " of all";
    if (n.e) text += ", " + percent(n.t, ends.get(n.e)) + " of " + n.e;
    if (n.s) text += ", " + percent(n.s, root.t) + " in the function itself";
    lines.push(text);
    return lines.join("\n");
  }

  function zoom(n) {
    zoomed = n;
    draw();
    graph.firstChild.focus({preventScroll: true});
  }

  function add(n, left, width, row, above) {
    const d = document.createElement("div");
    d.style.left = (100 * left) + "%";
    d.style.width = "calc(" + (100 * width) + "% - 1px)";
    d.style.top = row * rowHeight + "px";
    d.style.background = n === root ? "#e6e2da" : data.looks[n.c].rgb;
    d.tabIndex = -1;
    d.setAttribute("role", "treeitem");
    if (width * graph.clientWidth > 30) {
      const name = n === root ? "all" : (n.first && n.e !== n.n ? n.e + "  ·  " + n.n : n.n);
      d.textContent = name + "  " + percent(n.t, root.t);
    }
    d.setAttribute("aria-label", describe(n));
    if (n.first) d.classList.add("first");
    if (n.first && highlight.has(n.e)) d.classList.add("marked");
    if (above) d.classList.add("above");
    if (pattern && pattern.test(n.f || n.n)) d.classList.add("hit");
    d.node = n;
    graph.appendChild(d);
  }

  function draw() {
    graph.textContent = "";
    let row = 0;
    const path = [];
    for (let n = zoomed.parent; n; n = n.parent) path.unshift(n);
    for (const n of path) add(n, 0, 1, row++, true);
    let deepest = row;
    const least = 1 / Math.max(graph.clientWidth, 300);
    (function place(n, left, width, at) {
      add(n, left, width, at, false);
      deepest = Math.max(deepest, at);
      let x = left;
      for (const k of n.k || []) {
        const w = Math.min(width * k.t / n.t, left + width - x);
        if (w >= least) place(k, x, w, at + 1);
        x += w;
      }
    })(zoomed, 0, 1, row);
    graph.style.height = (deepest + 1) * rowHeight + "px";
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
      let sum = 0;
      (function count(n) {
        if (pattern.test(n.f || n.n)) { sum += n.t; return; }
        for (const k of n.k || []) count(k);
      })(root);
      matched.textContent = percent(sum, root.t) + " of all " + data.unit;
    }
    draw();
  }

  // Moving by keys: up to the caller, down to the heaviest callee, sideways
  // among what stands in the same row.
  function move(from, key) {
    const all = [...graph.children];
    const i = all.indexOf(from);
    let to = null;
    if (key === "ArrowUp") to = all.find(d => d.node === from.node.parent);
    if (key === "ArrowDown") to = all.find(d => d.node.parent === from.node);
    const row = all.filter(d => d.style.top === from.style.top).sort((a, b) => parseFloat(a.style.left) - parseFloat(b.style.left));
    if (key === "ArrowLeft") to = row[row.indexOf(from) - 1];
    if (key === "ArrowRight") to = row[row.indexOf(from) + 1];
    if (i < 0) to = graph.firstChild;
    if (to) to.focus();
  }

  graph.addEventListener("click", e => { if (e.target.node) zoom(e.target.node); });
  graph.addEventListener("mouseover", e => { if (e.target.node) detail.textContent = describe(e.target.node); });
  graph.addEventListener("focusin", e => { if (e.target.node) detail.textContent = describe(e.target.node); });
  graph.addEventListener("keydown", e => {
    if (e.key === "Enter" && e.target.node) zoom(e.target.node);
    else if (e.key.startsWith("Arrow")) move(e.target, e.key);
    else return;
    e.preventDefault();
  });
  document.addEventListener("keydown", e => { if (e.key === "Escape") zoom(zoomed.parent || root); });
  document.getElementById("reset").addEventListener("click", () => zoom(root));
  search.addEventListener("input", find);
  window.addEventListener("resize", draw);

  const used = new Set();
  (function look(n) { used.add(n.c); for (const k of n.k || []) look(k); })(root);
  const legend = document.getElementById("legend");
  data.looks.forEach((l, i) => {
    if (!used.has(i)) return;
    const s = document.createElement("span");
    const box = document.createElement("i");
    box.style.background = l.rgb;
    s.append(box, l.label);
    legend.appendChild(s);
  });
  draw();
})();
