"use strict";
// Lists the errors of each dataset, packed by bioelx_eval/report/browse.py. All that comes from the
// data is set as text or as an attribute's value, never as HTML: mentions are strangers' words.

const PAGE = 50;
const RESOLVER = "https://bioregistry.io/";

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

// A text that may be of another language and run from right to left, whatever stands around it.
function foreign(text, lang) {
  return element("bdi", { lang: lang || null }, text);
}

function counted(n) {
  return n.toLocaleString("en");
}

function unpack(data, run) {
  const concepts = (positions) => positions.map((position) => data.concepts[position]);
  return run.errors.map(([example, kind, confidence, linked, gold, types, candidates], position) => {
    const [id, group, language, mention, before, after, curies] = data.examples[example];
    return {
      position, id, group, language, mention, before, after, curies, confidence, types,
      kind: data.kinds[kind],
      kindPosition: kind,
      linked: concepts(linked),
      gold: concepts(gold),
      candidates: candidates.map(
        ([part, rank, concept, name, exact, score, logOdds, probability, right]) => ({
          part, rank, exact, score, logOdds, probability, right,
          concept: data.concepts[concept],
          name: data.names[name],
        })
      ),
    };
  });
}

function folded(text) {
  return text.normalize("NFKC").toLowerCase();
}

function searchable(error) {
  const texts = [error.id, error.before + error.mention + error.after, ...error.curies];
  for (const [id, label] of error.gold) texts.push(id, label);
  for (const { concept, name } of error.candidates) texts.push(concept[0], concept[1], name[0]);
  return folded(texts.join("\n"));
}

function curie(id) {
  const href = RESOLVER + id.split(":").map(encodeURIComponent).join(":");
  return element("a", { class: "curie", href, rel: "noreferrer" }, id);
}

function concept([id, label, types]) {
  return element("span", {}, label ? foreign(label) : null, label ? " " : "", curie(id),
    types ? element("span", { class: "soft" }, ` ${types}`) : null);
}

function listed(nodes) {
  return nodes.flatMap((node, i) => (i ? [", ", node] : [node]));
}

function candidateRow(candidate, withRanker) {
  const [text, lang, source] = candidate.name;
  return element("tr", { class: candidate.right ? "right" : null },
    element("td", {}, String(candidate.rank)),
    element("td", { class: "text" }, concept(candidate.concept),
      candidate.right ? element("span", { class: "tag good" }, "right") : null),
    element("td", { class: "text" }, foreign(text, lang), " ",
      element("span", { class: "soft" }, [lang, source].filter(Boolean).join(", ")),
      candidate.exact ? element("span", { class: "tag" }, "exact") : null),
    element("td", {}, candidate.score.toFixed(3)),
    withRanker
      ? element("td", {}, candidate.logOdds === null ? "–" : candidate.logOdds.toFixed(2)) : null,
    element("td", {}, candidate.probability.toFixed(3)));
}

function candidateTable(error) {
  if (!error.candidates.length) return element("p", { class: "soft" }, "No candidates.");
  const withRanker = error.candidates.some(({ logOdds }) => logOdds !== null);
  const head = (text, className) => element("th", { scope: "col", class: className ?? null }, text);
  const body = element("tbody");
  const parts = new Set(error.candidates.map(({ part }) => part)).size;
  let last = -1;
  for (const candidate of error.candidates) {
    if (parts > 1 && candidate.part !== last) {
      const title = `Part ${candidate.part + 1} of the mention`;
      body.append(element("tr", {},
        element("th", { colspan: withRanker ? 6 : 5, scope: "rowgroup" }, title)));
    }
    last = candidate.part;
    body.append(candidateRow(candidate, withRanker));
  }
  return element("div", { class: "scroll" }, element("table", {},
    element("caption", { class: "unseen" }, "Candidates"),
    element("thead", {}, element("tr", {}, head("#"), head("Candidate", "text"),
      head("Matched name", "text"), head("Score"), withRanker ? head("Ranker") : null,
      head("Prob."))),
    body));
}

function card(error) {
  return element("li", { class: `error kind-${error.kindPosition}` },
    element("div", { class: "asked" },
      element("p", { class: "facts" },
        element("span", { class: `kind kind-${error.kindPosition}` }, error.kind), " ",
        element("span", { class: "soft" }, `${error.id} · ${error.group}`)),
      element("p", { class: "context", dir: "auto", lang: error.language || null },
        error.before, element("mark", {}, error.mention), error.after),
      element("dl", {},
        element("dt", {}, "Gold"),
        element("dd", {}, ...gold(error)),
        element("dt", {}, "Linked"),
        element("dd", {}, ...(error.linked.length ? listed(error.linked.map(concept)) : ["NIL"]),
          element("span", { class: "soft" }, `, confidence ${error.confidence.toFixed(3)}`)))),
    candidateTable(error));
}

function gold(error) {
  if (!error.curies.length) return ["NIL"];
  const ids = listed(error.curies.map(curie));
  if (!error.gold.length) return [...ids, element("span", { class: "soft" }, ", not in the release")];
  const types = element("span", { class: "soft" }, ` ${error.types}`);
  return [...ids, element("br"), ...listed(error.gold.map(concept)), types];
}

function choice(label, options) {
  const select = element("select", {},
    ...options.map(([value, text]) => element("option", { value }, text)));
  return [element("label", {}, element("span", {}, label), select), select];
}

function browse(place) {
  const data = JSON.parse(document.getElementById(place.dataset.errors).textContent);
  const unpacked = data.runs.map(() => null);
  const texts = data.runs.map(() => null);
  let shownPage = 0;

  const [runLabel, run] = choice("Release", data.runs.map(({ label }, i) => [i, label]));
  const [groupLabel, group] = choice("Group",
    [["", "all"], ...data.groups.map((name) => [name, name])]);
  const [kindLabel, kind] = choice("Kind",
    [["", "all"], ...data.kinds.map((name) => [name, name])]);
  const [orderLabel, order] = choice("Order",
    [["row", "as in the dataset"], ["sure", "most confident first"]]);
  const search = element("input", { type: "search", placeholder: "mention, context, id or name" });
  const said = element("p", { class: "said soft", role: "status" });
  const list = element("ol", { class: "list" });
  const earlier = element("button", { type: "button", onclick: () => turn(-1) }, "← Earlier");
  const later = element("button", { type: "button", onclick: () => turn(1) }, "Later →");
  const where = element("span");
  const pager = element("nav", { class: "pager", "aria-label": "Pages of errors" },
    earlier, where, later);

  function found() {
    const of = Number(run.value);
    unpacked[of] ??= unpack(data, data.runs[of]);
    const wanted = folded(search.value.trim());
    if (wanted) texts[of] ??= unpacked[of].map(searchable);
    const held = unpacked[of].filter((error) =>
      (!group.value || error.group === group.value) &&
      (!kind.value || error.kind === kind.value) &&
      (!wanted || texts[of][error.position].includes(wanted)));
    return order.value === "row" ? held
      : held.sort((a, b) => b.confidence - a.confidence || a.position - b.position);
  }

  function show() {
    const held = found();
    const pages = Math.max(1, Math.ceil(held.length / PAGE));
    shownPage = Math.min(shownPage, pages - 1);
    const { total, errors } = data.runs[Number(run.value)];
    const listed = errors.length < total
      ? ` Listed are ${counted(errors.length)} of the ${counted(total)} errors: all of the rare`
        + " kinds, and of the others an even spread."
      : "";
    said.textContent = `${counted(held.length)} of ${counted(errors.length)} errors.${listed}`;
    where.textContent = `Page ${shownPage + 1} of ${pages}`;
    earlier.disabled = shownPage === 0;
    later.disabled = shownPage === pages - 1;
    list.start = shownPage * PAGE + 1;
    list.replaceChildren(...held.slice(shownPage * PAGE, (shownPage + 1) * PAGE).map(card));
  }

  function turn(by) {
    shownPage += by;
    show();
    place.scrollIntoView();
  }

  let waiting = 0;
  function again() {
    clearTimeout(waiting);
    waiting = setTimeout(() => { shownPage = 0; show(); }, 150);
  }
  const form = element("form", { class: "filters", role: "search", onsubmit: (e) => e.preventDefault(),
    onchange: again, oninput: again },
    data.runs.length > 1 ? runLabel : null, groupLabel, kindLabel, orderLabel,
    element("label", { class: "wide" }, element("span", {}, "Search"), search));
  place.append(form, said, list, pager);
  show();
}

document.querySelectorAll("[data-errors]").forEach(browse);
