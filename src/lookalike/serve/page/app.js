// The page: what is asked stands in the address, and everything shown follows from it.

import { Details, help } from "./details.js";
import { $, button, call, card, h, held, later, number, original, plural, query, say } from "./dom.js";
import { Duplicates } from "./duplicates.js";
import { Grid } from "./grid.js";
import { Indexing } from "./indexing.js";
import { Question } from "./question.js";
import { EMPTY, question, read, write } from "./state.js";

const PAGE = 48;
const info = { pictures: 0, model: "", metric: "COSINE", roots: [], fields: [] };
let state = EMPTY;
let asking = new AbortController(); // what is under way
let loading = false;
let last = ""; // the kind of the last change: the same again is one step back
const seen = new Map(); // answers by address, so that Back is at once

const keys = {
	s: (hit) => add([term(hit)], true),
	m: (hit) => weigh(hit, 1),
	l: (hit) => weigh(hit, -1),
	o: ({ id }) => open(original(id)),
};
const asked = new Question({ add, change: (terms, kind) => go({ terms }, kind) });
const grid = new Grid($("#grid"), keys, ({ id }) => go({ show: id }));
const details = new Details({
	keys,
	close,
	step: (id, by) => {
		const hit = grid.hits[grid.hits.findIndex((each) => each.id === id) + by];
		if (hit) go({ show: hit.id }, "step");
	},
});

function term(hit, weight = 1) {
	asked.know(hit);
	return { kind: "id", value: hit.id, weight, crop: null };
}

function add(terms, fresh) {
	asked.trouble("");
	if (fresh) asked.selected = 0;
	go({ terms: fresh ? terms : [...state.terms, ...terms], show: null });
}

function weigh(hit, step) {
	const known = state.terms.find(({ value }) => value === hit.id);
	if (!known) return add([term(hit, step > 0 ? 1 : -0.5)], false);
	const weight = Math.max(-2, Math.min(2, known.weight + step / 2));
	const terms = state.terms.map((each) => (each === known ? { ...each, weight } : each));
	go({ terms: terms.filter((each) => each.weight), show: null });
}

function go(change, kind = "") {
	const next = { ...state, ...change };
	const address = write(next);
	const again = kind === "step" || (kind && kind === last);
	last = kind;
	if (again) history.replaceState(history.state, "", address);
	else if (address !== location.pathname + location.search) history.pushState("inside", "", address);
	render(next);
}

function close() {
	const id = state.show;
	details.hide();
	if (history.state === "inside") history.back();
	else go({ show: null });
	grid.focus(id);
}

function forget() {
	seen.clear();
	refresh();
}

const key = (given) => write({ ...given, show: null });

function render(next) {
	const before = state;
	state = next;
	const { view } = next;
	const other = view !== "search";
	document.title = other ? `${view} · lookalike` : "lookalike";
	for (const link of document.querySelectorAll("[data-view]")) link.ariaCurrent = link.dataset.view === view ? "page" : null;
	$("#search").hidden = other;
	$("#other").hidden = !other;
	if (other) {
		details.hide();
		if (before.view !== view) views[view].open();
		return;
	}
	asked.show(next.terms);
	narrow(next);
	if (key(before) !== key(next) || !$("#summary").textContent) ask();
	grid.mark(next.terms);
	if (next.show) details.show(next.show, grid.hits.find(({ id }) => id === next.show));
	else details.hide();
}

const loosest = () => (info.metric === "L2" ? 4 : 0);

function narrow({ terms, where, min }) {
	const score = $("#score");
	// What is being typed or moved is left alone.
	if (last !== "where") $("#where").value = where;
	score.max = loosest() || 1;
	if (last !== "min") score.value = min ?? loosest();
	$("#score-value").textContent = min === null ? "any" : `${loosest() ? "up to" : "from"} ${min.toFixed(2)}`;
	$("#narrow").classList.toggle("idle", !terms.length);
}

async function fetched(offset) {
	const [{ signal }, { terms, where }] = [asking, state];
	const page = { limit: PAGE, offset };
	if (terms.length) return call("POST", "/search", { json: question(state, page), signal });
	const { images, more } = await call("GET", `/images?${query({ ...page, where })}`, { signal });
	return { hits: images, more };
}

async function ask() {
	asking.abort();
	asking = new AbortController();
	const [mine, address] = [asking, key(state)];
	const known = seen.get(address);
	if (known) {
		present(known);
		return scrollTo(0, known.scroll);
	}
	$("#results").ariaBusy = "true";
	loading = true;
	try {
		const { hits, more, seconds } = await fetched(0);
		const entry = { hits, more, seconds, scroll: 0 };
		seen.set(address, entry);
		if (seen.size > 20) seen.delete(seen.keys().next().value);
		scrollTo(0, 0);
		present(entry);
		fill();
	} catch (problem) {
		if (mine === asking) failed(problem);
	}
}

async function fill() {
	const near = $("#end").getBoundingClientRect().top < innerHeight + 800;
	if (!grid.more || loading || !near || state.view !== "search") return;
	const [mine, entry] = [asking, seen.get(key(state))];
	loading = true;
	try {
		const { hits, more } = await fetched(grid.hits.length);
		grid.append(hits, more);
		grid.mark(state.terms);
		summary(Object.assign(entry ?? {}, { hits: grid.hits, more: grid.more }));
	} catch (problem) {
		if (mine !== asking) return;
		grid.append([], false);
		$("#notice").replaceChildren(notice(problem, ask));
	}
	loading = false;
	requestAnimationFrame(fill);
}

function settled() {
	fault(null);
	$("#results").ariaBusy = "false";
	loading = false;
}

function present(entry) {
	settled();
	entry.hits.forEach((hit) => asked.know(hit));
	grid.show(entry.hits, entry.more);
	grid.mark(state.terms);
	summary(entry);
	$("#notice").replaceChildren(...(entry.hits.length ? [] : [nothing()]));
}

function summary({ seconds }) {
	const { hits, more } = grid;
	$("#heading").textContent = state.terms.length ? "What looks alike" : "Your pictures";
	$("#summary").textContent = `${number(hits.length)}${more ? "+" : ""}${seconds ? ` in ${seconds.toFixed(2)} s` : ""}`;
	say(`${plural(hits.length, "picture")}${more ? ", more below" : ""}`);
}

function nothing() {
	const { terms, where, min } = state;
	const without = (label, change) => button(label, () => go(change));
	if (terms.length || where) {
		return card("search", "Nothing fits",
			h("p", "No picture meets all that is asked for."),
			h("div.tools",
				where && without("Without the filter", { where: "" }),
				min !== null && without("With any score", { min: null })));
	}
	return card("picture", "No pictures here yet", info.roots.length
		? [h("p", "Index the folders that this server may read, and they appear here."),
			h("a.primary", { href: "/?view=index", "data-go": true }, "Index folders")]
		: h("p", "Index some at a terminal, and they appear here: ", h("code", "lookalike index FOLDER")));
}

/** What went wrong, and what to do about it. Where waiting helps, it goes on by itself. */
function notice(problem, again) {
	const { status, message } = problem;
	if (problem.code === "upload_gone") {
		const terms = state.terms.filter(({ kind }) => kind !== "upload");
		return card("picture", "The picture of this question is gone",
			h("p", "Dropped pictures are kept for an hour. Drop it again, or ask without it."),
			button("Ask without it", () => go({ terms })));
	}
	const passes = !status || status === 429 || status === 503;
	const title = { 0: "The server does not answer", 429: "That was too quick", 503: "The database is away" }[status];
	const shown = card("search", title ?? "That cannot be answered",
		h("p", status ? message : "Is lookalike serve still running? This page goes on as soon as it answers."),
		h("div.tools",
			(passes || status >= 500) && button("Try again", again),
			state.view === "search" && state.terms.length > 0 && button("Start again", () => go(EMPTY))));
	if (passes) setTimeout(() => shown.isConnected && again(), 1000 * (problem.retryAfter || 3));
	return shown;
}

function failed(problem) {
	settled();
	if (problem.field === "where") return fault(problem);
	grid.show([], false);
	$("#summary").textContent = "";
	$("#notice").replaceChildren(notice(problem, ask));
	say(problem.message);
}

/** What is wrong with the filter, below the place that it is about. */
function fault(problem) {
	const [input, caret, wrong] = [$("#where"), $("#caret"), $("#wrong")];
	caret.hidden = !problem?.position;
	wrong.hidden = !problem;
	wrong.textContent = problem?.message.replace(/^where: (column \d+: )?/, "");
	input.ariaInvalid = String(Boolean(problem));
	caret.column = problem?.position;
	point();
}

const point = () => {
	$("#caret").style.left = `calc(var(--pad) + 1px + ${$("#caret").column - 1}ch - ${$("#where").scrollLeft}px)`;
};

async function refresh() {
	Object.assign(info, await call("GET", "/info").catch(() => null));
	$("#count").textContent = plural(info.pictures, "picture");
	asked.readsWords(info.reads_words);
}

const filter = () => {
	const where = $("#where").value.trim();
	if (where !== state.where) go({ where }, "where");
};
const filterSoon = later(700, filter);
$("#where").oninput = filterSoon;
$("#where").onscroll = point;
$("#narrow").onsubmit = filter;
addEventListener("submit", (event) => event.preventDefault());
const scoreSoon = later(120, (min) => go({ min }, "min"));
$("#score").oninput = ({ target }) => {
	const min = Number(target.value) === loosest() ? null : Number(target.value);
	narrow({ ...state, min });
	scoreSoon(min);
};

addEventListener("popstate", () => {
	last = "";
	render(read(location.search));
});
addEventListener("scroll", () => {
	const entry = seen.get(key(state));
	if (entry && state.view === "search") entry.scroll = scrollY;
	fill();
}, { passive: true });
addEventListener("resize", fill);
addEventListener("click", (event) => {
	const link = event.target.closest("a[data-go]");
	if (!link || held(event) || event.shiftKey) return;
	event.preventDefault();
	go(read(link.search));
});
addEventListener("keydown", (event) => {
	const { target } = event;
	if (event.key === "Escape" && target === $("#where")) return grid.focus();
	const types = target.matches("select, input:not([type=range], [type=checkbox], [type=radio])");
	if (types || held(event) || $("dialog[open]")) return;
	if (event.key === "?") help(info.fields);
	else if (event.key === "/" && state.view === "search") $("#where").focus();
	else return;
	event.preventDefault();
});
$("#keys").onclick = () => help(info.fields);

const drop = $("#drop");
addEventListener("dragenter", ({ dataTransfer: { types } }) => {
	drop.hidden = !types.includes("Files") && !types.includes("text/uri-list");
	drop.classList.toggle("single", !state.terms.length);
});
addEventListener("dragover", (event) => {
	event.preventDefault();
	for (const zone of drop.children) zone.classList.toggle("over", zone === event.target);
});
addEventListener("dragleave", ({ relatedTarget }) => { drop.hidden ||= !relatedTarget; });
addEventListener("dragend", () => { drop.hidden = true; });
addEventListener("drop", (event) => {
	event.preventDefault();
	drop.hidden = true;
	take(event.dataTransfer, event.target.id !== "drop-add");
});
addEventListener("paste", (event) => {
	if (event.target.closest("input") && !event.clipboardData.files.length) return;
	event.preventDefault();
	take(event.clipboardData, true);
});

function take(data, fresh) {
	if (state.view !== "search") go({ view: "search" });
	const text = (data.getData("text/uri-list") || data.getData("text/plain")).trim().split(/\s*\n/)[0];
	const [, own] = /^.*\/images\/(\w{32})/.exec(text.startsWith(location.origin) ? text : "") ?? []; // one of the grid
	const kind = own ? "id" : /^https?:/i.test(text) ? "url" : info.reads_words && text && "words";
	if (data.files.length && !own) asked.upload([...data.files], fresh);
	else if (kind) add([{ kind, value: own ?? text, weight: 1, crop: null }], fresh);
	else asked.trouble("That is neither a picture nor the address of one.");
}

const views = {};
for (const [name, View] of Object.entries({ duplicates: Duplicates, index: Indexing }))
	views[name] = new View($("#other"), { info, notice, changed: forget });
history.scrollRestoration = "manual";
await refresh();
render(read(location.search));
views.index.resume();
