// The page: what is asked stands in the address, and everything shown follows from it.

import { Details } from "./details.js";
import { $, call, h, icon, later, number, original, plural, query, say, toast } from "./dom.js";
import { Duplicates } from "./duplicates.js";
import { Grid } from "./grid.js";
import { help } from "./help.js";
import { Indexing } from "./indexing.js";
import { Question } from "./question.js";
import { EMPTY, question, read, write } from "./state.js";

const PAGE = 48;
const LESS = -0.5;

let state = EMPTY;
let info = { pictures: 0, model: "", metric: "COSINE", roots: [] };
let asking = null; // aborts what is under way
let loading = false;
let changedBy = ""; // what changed last: the same again replaces the entry of the history
const seen = new Map(); // answers by address, so that Back is at once

const asked = new Question({ add, change: (terms, kind) => go({ terms }, kind) });
const grid = new Grid($("#grid"), {
	open: (hit) => go({ show: hit.id }),
	ask: (hit) => add([term(hit)], true),
	weigh,
	original: (hit) => open(original(hit.id)),
});
const details = new Details({
	close: closeDetails,
	step: (id, by) => {
		const hit = grid.neighbour(id, by);
		if (hit) go({ show: hit.id }, "show");
	},
	ask: (hit) => add([term(hit)], true),
	weigh,
	removed: (hit) => {
		closeDetails();
		grid.remove(hit.id);
		forget();
		toast(`${hit.name} is out of the index. Its file stays, and indexing brings it back.`);
	},
});

const term = (hit, weight = 1) => {
	asked.know(hit);
	return { kind: "id", value: hit.id, weight, crop: null };
};

function add(terms, fresh) {
	asked.trouble(null);
	if (fresh) asked.selected = 0;
	go({ terms: fresh ? terms : [...state.terms, ...terms], show: null });
}

/** More, or less, like this one. */
function weigh(hit, step) {
	const at = state.terms.findIndex(({ kind, value }) => kind === "id" && value === hit.id);
	if (at < 0) return add([term(hit, step > 0 ? 1 : LESS)], false);
	const weight = Math.max(-2, Math.min(2, state.terms[at].weight + step / 2));
	const terms = state.terms.map((each, index) => (index === at ? { ...each, weight } : each));
	go({ terms: weight ? terms : terms.filter((_, index) => index !== at), show: null });
}

/** Change what is asked. The same kind of change again (a slider that moves) is one step back. */
function go(change, kind = "") {
	const next = { ...state, ...change };
	const address = write(next);
	const replace = kind && kind === changedBy;
	changedBy = kind;
	remember();
	if (address !== location.pathname + location.search) {
		history[replace ? "replaceState" : "pushState"]({ inside: true, show: Boolean(next.show) }, "", address);
	}
	render(next);
}

function closeDetails() {
	const id = state.show;
	if (history.state?.inside && changedBy !== "show") history.back();
	else go({ show: null }, "");
	details.hide();
	if (id) grid.focus(id);
}

function remember() {
	const entry = seen.get(key(state));
	if (entry) entry.scroll = scrollY;
}

function forget() {
	seen.clear();
	refreshInfo();
}

const key = (given) => write({ ...given, show: null });

function render(next) {
	const before = state;
	state = next;
	const other = next.view !== "search";
	const titles = { search: "lookalike", duplicates: "Duplicates · lookalike", index: "Index · lookalike" };
	document.title = titles[next.view];
	for (const link of document.querySelectorAll("[data-view]")) {
		if (link.dataset.view === next.view) link.setAttribute("aria-current", "page");
		else link.removeAttribute("aria-current");
	}
	$("#search").hidden = other;
	$("#other").hidden = !other;
	if (other) {
		details.hide();
		if (before.view !== next.view || !$("#other").firstChild) {
			$("#other").className = `other ${next.view}`;
			views[next.view].open();
			scrollTo(0, 0);
		}
		return;
	}
	asked.show(next.terms);
	narrow(next);
	if (before.view !== "search" || key(before) !== key(next) || !grid.hits.length) ask();
	grid.mark(next.terms);
	if (next.show) details.show(next.show, grid.hits.find((hit) => hit.id === next.show));
	else details.hide();
}

const isDistance = () => info.metric === "L2";

function narrow({ terms, where, min, auto, diverse }) {
	if (document.activeElement !== $("#where")) $("#where").value = where;
	const slider = $("#score");
	const off = isDistance() ? 4 : 0;
	slider.max = isDistance() ? 4 : 1;
	if (document.activeElement !== slider) slider.value = min ?? off;
	$("#score-value").textContent = min === null ? "any" : `${isDistance() ? "at most" : "at least"} ${min.toFixed(2)}`;
	$("#auto").checked = auto;
	$("#diverse").checked = diverse;
	for (const id of ["score", "auto", "diverse"]) $(`#${id}`).disabled = !terms.length;
	$("#narrow").classList.toggle("idle", !terms.length);
}

async function fetchPage(offset, signal) {
	if (state.terms.length) {
		return call("POST", "/search", { json: question(state, { limit: PAGE, offset }), signal });
	}
	const parameters = query({ limit: PAGE, offset, where: state.where });
	const { images, more } = await call("GET", `/images?${parameters}`, { signal });
	return { hits: images, more };
}

async function ask() {
	asking?.abort();
	asking = new AbortController();
	const { signal } = asking;
	const mine = key(state);
	const known = seen.get(mine);
	if (known) {
		present(known);
		scrollTo(0, known.scroll);
		return;
	}
	$("#results").setAttribute("aria-busy", "true");
	loading = true;
	try {
		const answer = await fetchPage(0, signal);
		const entry = { hits: answer.hits, more: answer.more, seconds: answer.seconds, scroll: 0 };
		seen.set(mine, entry);
		if (seen.size > 20) seen.delete(seen.keys().next().value);
		present(entry);
		scrollTo(0, 0);
	} catch (problem) {
		if (problem.name !== "AbortError") failed(problem);
		return;
	} finally {
		if (!signal.aborted) {
			loading = false;
			$("#results").removeAttribute("aria-busy");
		}
	}
	fill();
}

/** The next page, once the end comes near. */
async function fill() {
	const near = $("#end").getBoundingClientRect().top < innerHeight + 800;
	if (!grid.more || loading || !near || state.view !== "search") return;
	loading = true;
	const entry = seen.get(key(state));
	try {
		const { hits, more } = await fetchPage(grid.hits.length, asking.signal);
		grid.append(hits, { more: more && hits.length > 0 });
		if (entry) Object.assign(entry, { hits: grid.hits, more: grid.more });
		grid.mark(state.terms);
		summary(entry ?? {});
	} catch (problem) {
		if (problem.name === "AbortError") return;
		grid.append([], { more: false });
		$("#notice").replaceChildren(notice(problem, ask));
	} finally {
		loading = false;
	}
	requestAnimationFrame(fill);
}

function present(entry) {
	fault(null);
	$("#results").removeAttribute("aria-busy");
	loading = false;
	for (const hit of entry.hits) asked.know(hit);
	grid.show(entry.hits, entry);
	grid.mark(state.terms);
	summary(entry);
	$("#notice").replaceChildren(...(entry.hits.length ? [] : [nothing()]));
}

function summary({ seconds }) {
	const count = `${number(grid.hits.length)}${grid.more ? "+" : ""}`;
	const took = seconds === undefined ? "" : ` in ${seconds < 0.1 ? `${Math.max(1, Math.round(seconds * 1000))} ms` : `${seconds.toFixed(1)} s`}`;
	$("#heading").textContent = state.terms.length ? "What looks alike" : "Your pictures";
	$("#summary").textContent = grid.hits.length ? `${count}${took}` : "";
	say(grid.hits.length ? plural(grid.hits.length, "picture") + (grid.more ? ", and more below" : "") : "No pictures");
}

/** Nothing to show: say why, and what to do about it. */
function nothing() {
	const { terms, where, min, auto } = state;
	const undo = (label, change) => h("button", { class: "quiet", onclick: () => go(change) }, label);
	if (!terms.length && !where) {
		return h("div", { class: "card" }, icon("picture"), h("p", { class: "big" }, "No pictures here yet"),
			h("p", {}, info.roots?.length ? "Index the folders that this server may read, and they appear here." : "Index some at a terminal, and they appear here:"),
			info.roots?.length
				? h("a", { class: "button primary", href: "/?view=index", "data-go": true }, "Index folders")
				: h("p", {}, h("code", {}, "lookalike index FOLDER")));
	}
	return h("div", { class: "card" }, icon("search"), h("p", { class: "big" }, "Nothing fits"),
		h("p", {}, auto ? "Nothing stands out from the rest of the index." : "No picture meets all that is asked for."),
		h("div", { class: "tools" },
			where && undo("Without the filter", { where: "" }),
			min !== null && undo("With any score", { min: null }),
			auto && undo("Also what does not stand out", { auto: false }),
			!where && min === null && !auto && undo("Start again", EMPTY)));
}

/** What went wrong, as a card that says what to do. */
function notice(problem, again) {
	const retry = h("button", { class: "quiet", onclick: again }, "Try again");
	const gone = state.terms.filter(({ kind }) => kind === "upload");
	if (problem.code === "upload_gone") {
		return h("div", { class: "card" }, icon("picture"), h("p", { class: "big" }, "The picture of this question is gone"),
			h("p", {}, "Dropped pictures are kept for an hour only. Drop it again, or ask without it."),
			h("button", { class: "quiet", onclick: () => go({ terms: state.terms.filter((each) => !gone.includes(each)) }) }, "Ask without it"));
	}
	if (problem.passing) {
		const wait = problem.retryAfter ?? 3;
		const timer = setTimeout(() => card.isConnected && again(), wait * 1000);
		const title = problem.status === 429 ? "That was too quick" : problem.status ? "The database is away" : "The server does not answer";
		const then = problem.status === 0 ? "Is lookalike serve still running? This page goes on by itself as soon as it answers." : problem.message;
		retry.addEventListener("click", () => clearTimeout(timer));
		const card = h("div", { class: "card" }, h("p", { class: "big" }, title), h("p", {}, then), retry);
		return card;
	}
	return h("div", { class: "card" }, h("p", { class: "big" }, "That cannot be answered"), h("p", {}, problem.message),
		h("div", { class: "tools" }, problem.status >= 500 && retry,
			state.view === "search" && state.terms.length > 0 && h("button", { class: "quiet", onclick: () => go(EMPTY) }, "Start again")));
}

function failed(problem) {
	if (problem.field === "where" || problem.field === "filter" || problem.message.startsWith("where:")) {
		fault(problem);
		return;
	}
	fault(null);
	grid.show([], { more: false });
	$("#summary").textContent = "";
	$("#notice").replaceChildren(notice(problem, ask));
	say(problem.message);
}

/** What is wrong with the filter, below the place that it is about. */
function fault(problem) {
	const [input, caret, wrong] = [$("#where"), $("#caret"), $("#where-error")];
	const found = problem && /^where: (?:column (\d+): )?([^]*)$/.exec(problem.message);
	const column = problem && (problem.position ?? Number(found?.[1]));
	caret.hidden = !column;
	wrong.hidden = !problem;
	wrong.textContent = problem ? found?.[2] ?? problem.message : "";
	input.toggleAttribute("aria-invalid", Boolean(problem));
	if (problem) input.setAttribute("aria-invalid", "true");
	if (problem) say(`Filter: ${column ? `at ${column}, ` : ""}${wrong.textContent}`);
	caret.dataset.column = column || "";
	placeCaret();
}

function placeCaret() {
	const column = Number($("#caret").dataset.column);
	if (column) $("#caret").style.left = `calc(var(--pad) + ${column - 1}ch - ${$("#where").scrollLeft}px)`;
}

async function refreshInfo() {
	try {
		info = Object.assign(info, await call("GET", "/info"));
	} catch {
		return;
	}
	$("#count").textContent = plural(info.pictures, "picture");
	$("#count").title = `${info.model}${info.version ? ` · lookalike ${info.version}` : ""}`;
	asked.readsWords(Boolean(info.reads_words));
}

const filterSoon = later(600, () => go({ where: $("#where").value.trim() }, "where"));
$("#where").addEventListener("input", () => {
	$("#caret").hidden = true;
	filterSoon();
});
$("#where").addEventListener("scroll", placeCaret);
$("#narrow").addEventListener("submit", (event) => {
	event.preventDefault();
	filterSoon.cancel();
	go({ where: $("#where").value.trim() }, "where");
});
const scoreSoon = later(120, (min) => go({ min }, "min"));
$("#score").addEventListener("input", (event) => {
	const value = Number(event.target.value);
	const min = value === (isDistance() ? 4 : 0) ? null : value;
	narrow({ ...state, min });
	scoreSoon(min);
});
for (const name of ["auto", "diverse"]) {
	$(`#${name}`).addEventListener("change", (event) => go({ [name]: event.target.checked }));
}

document.addEventListener("click", (event) => {
	const link = event.target.closest("a[data-go]");
	if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
	event.preventDefault();
	go(read(new URL(link.href).search));
	if (state.view !== "search") $("#other").focus({ preventScroll: true });
});
addEventListener("popstate", () => {
	changedBy = "";
	render(read(location.search));
});
addEventListener("scroll", () => { fill(); remember(); }, { passive: true });
addEventListener("resize", fill);

document.addEventListener("keydown", (event) => {
	const typing = event.target.closest("input:not([type=range],[type=checkbox],[type=radio]), select");
	if (event.key === "Escape" && event.target === $("#where")) grid.focus();
	if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
	if (event.key === "?") help(info);
	else if (event.key === "/" && state.view === "search") $("#where").focus();
	else if (event.key === "Escape" && state.view !== "search") go({ view: "search" });
	else return;
	event.preventDefault();
});
$("#help-open").addEventListener("click", () => help(info));

const carries = (event) => [...event.dataTransfer.types].some((type) => ["Files", "text/uri-list", "application/x-lookalike"].includes(type));
addEventListener("dragenter", (event) => {
	if (!carries(event)) return;
	event.preventDefault();
	$("#drop").classList.toggle("single", !state.terms.length);
	$("#drop").hidden = false;
});
addEventListener("dragover", (event) => {
	event.preventDefault();
	const zone = event.target.closest?.("[data-drop]");
	for (const each of $("#drop").children) each.classList.toggle("over", each === zone);
});
addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("#drop").hidden = true; });
addEventListener("dragend", () => { $("#drop").hidden = true; });
addEventListener("drop", (event) => {
	event.preventDefault();
	$("#drop").hidden = true;
	take(event.dataTransfer, event.target.closest?.("[data-drop]")?.dataset.drop !== "add");
});
addEventListener("paste", (event) => {
	if (event.target.closest("input") && !event.clipboardData.files.length) return;
	event.preventDefault();
	take(event.clipboardData, true);
});

/** Ask with what was dropped or pasted. */
function take(data, fresh) {
	if (state.view !== "search") go({ view: "search" });
	const own = data.getData("application/x-lookalike");
	const hit = own && grid.hits.find(({ id }) => id === own);
	const pictures = [...data.files];
	const text = (data.getData("text/uri-list") || data.getData("text/plain")).trim().split("\n")[0].trim();
	if (hit) add([term(hit)], fresh);
	else if (pictures.length) asked.upload(pictures, fresh);
	else if (/^https?:\/\//i.test(text)) add([{ kind: "url", value: text, weight: 1, crop: null }], fresh);
	else if (text && info.reads_words) add([{ kind: "words", value: text, weight: 1, crop: null }], fresh);
	else if (text) asked.trouble("That is neither a picture nor an address of one.");
}

const parts = { info, notice, changed: forget };
const views = { duplicates: new Duplicates($("#other"), parts), index: new Indexing($("#other"), parts) };
history.scrollRestoration = "manual";
await refreshInfo();
render(read(location.search));
views.index.resume();
