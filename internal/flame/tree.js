"use strict";
// Trees: reading the page's data, cutting endpoints out, turning trees over.
// Nothing here touches the document. A node is
//   {f, t, s, kids, parent, look, end, first, b, u, bs, us}
// with f an index of tab.funcs, t and s total and self, and in a difference
// b, u, bs, us the same before and after.
const trees = (() => {
  // OTHER stands for what was left out as too small.
  const OTHER = -1;

  const node = (f, look, end, parent) => ({f, look, end, parent, t: 0, s: 0, b: 0, u: 0, bs: 0, us: 0, kids: [], first: false});

  // read makes nodes of a tab's columns, in which callers stand before callees.
  function read(tab) {
    const nodes = tab.p.map((p, i) => {
      const n = node(tab.f[i], tab.c[i], tab.e[i], null);
      n.t = tab.t[i];
      n.s = tab.s[i];
      if (tab.diff) [n.b, n.u, n.bs, n.us] = [tab.b[i], tab.u[i], tab.bs[i], tab.us[i]];
      return n;
    });
    nodes.forEach((n, i) => {
      if (i === 0) return;
      n.parent = nodes[tab.p[i]];
      n.parent.kids.push(n);
      n.first = n.end >= 0 && n.parent.end !== n.end;
    });
    return nodes[0];
  }

  function walk(n, f) {
    f(n);
    for (const k of n.kids) walk(k, f);
  }

  function addUp(to, from) {
    for (const k of ["t", "s", "b", "u", "bs", "us"]) to[k] += from[k];
  }

  const heavier = (a, b) => b.t - a.t;

  // merge adds nodes of one function up into one, callees and all.
  function merge(nodes, parent) {
    const out = node(nodes[0].f, nodes[0].look, nodes[0].end, parent);
    const groups = new Map();
    for (const n of nodes) {
      addUp(out, n);
      for (const k of n.kids) {
        const key = k.f + "," + k.look;
        if (groups.has(key)) groups.get(key).push(k); else groups.set(key, [k]);
      }
    }
    for (const g of groups.values()) out.kids.push(merge(g, out));
    out.kids.sort(heavier);
    return out;
  }

  // endpoint cuts out what one endpoint does, wherever it occurs.
  function endpoint(root, end) {
    const tops = [];
    walk(root, n => { if (n.first && n.end === end) tops.push(n); });
    const out = node(root.f, root.look, end, null);
    const top = node(root.f, root.look, end, null);
    top.kids = tops;
    for (const k of merge([top], null).kids) {
      k.parent = out;
      k.first = true;
      out.kids.push(k);
      addUp(out, k);
    }
    out.s = out.bs = out.us = 0;
    return out;
  }

  // invert makes the tree of callers: below the root stand the functions that
  // the samples end in, below them who called them.
  function invert(root) {
    const out = node(root.f, root.look, root.end, null);
    out.kidsBy = new Map();
    walk(root, n => {
      if (n === root && n.s <= 0) return;
      const rest = n.kids.reduce((sum, k) => sum - k.t, n.t - n.s);
      const end = (s, bs, us, f, look) => {
        const share = {t: s, s: 0, b: bs, u: us, bs: 0, us: 0};
        let at = out;
        addUp(at, share);
        if (f === OTHER) at = step(at, OTHER, look, share);
        for (let m = n; m && m.parent; m = m.parent) at = step(at, m.f, m.look, share);
      };
      if (n.s > 0 || n.bs > 0 || n.us > 0) end(n.s, n.bs, n.us, n.f, n.look);
      if (rest > 0 && n !== root) end(rest, 0, 0, OTHER, n.look);
    });
    finish(out, out.t * 0.0005);
    for (const k of out.kids) k.s = k.t;
    return out;
  }

  function step(at, f, look, share) {
    let k = at.kidsBy.get(f);
    if (!k) {
      k = node(f, look, -1, at);
      k.kidsBy = new Map();
      at.kidsBy.set(f, k);
    }
    addUp(k, share);
    return k;
  }

  function finish(n, least) {
    n.kids = [...n.kidsBy.values()].filter(k => k.t >= least).sort(heavier);
    delete n.kidsBy;
    for (const k of n.kids) finish(k, least);
  }

  // functions sums own and total by function; recursion counts once.
  function functions(root) {
    const by = new Map();
    const open = new Set();
    (function visit(n) {
      let row = by.get(n.f);
      if (!row) by.set(n.f, row = {f: n.f, self: 0, total: 0, look: n.look, end: new Set()});
      row.self += n.s;
      const outer = !open.has(n.f);
      if (outer) {
        row.total += n.t;
        open.add(n.f);
      }
      for (const k of n.kids) visit(k);
      if (outer) open.delete(n.f);
    })(root);
    by.delete(root.f);
    return [...by.values()];
  }

  // around sums who calls a function and whom it calls.
  function around(root, f) {
    const callers = new Map(), callees = new Map();
    const add = (m, key, n) => m.set(key, (m.get(key) || 0) + n);
    let total = 0, self = 0;
    (function visit(n, inside) {
      if (n.f === f) {
        self += n.s;
        for (const k of n.kids) if (k.f !== f) add(callees, k.f, k.t);
        if (!inside) {
          total += n.t;
          if (n.parent && n.parent.parent) add(callers, n.parent.f, n.t);
        }
        inside = true;
      }
      for (const k of n.kids) visit(k, inside);
    })(root, false);
    const list = m => [...m].map(([f, n]) => ({f, n})).sort((a, b) => b.n - a.n);
    return {total, self, callers: list(callers), callees: list(callees)};
  }

  // z is the statistic of the pooled two-proportion test, above 0 for what grew.
  function z(n, root, perSample) {
    const per = perSample || 1;
    const k = n.b / per, of = root.b / per, l = n.u / per, to = root.u / per;
    if (!(of > 0 && to > 0)) return 0;
    const pooled = (k + l) / (of + to);
    const se = Math.sqrt(pooled * (1 - pooled) * (1 / of + 1 / to));
    return se > 0 ? (l / to - k / of) / se : 0;
  }

  return {OTHER, read, walk, endpoint, invert, functions, around, z};
})();
