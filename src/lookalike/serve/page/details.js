// One picture, large, with everything that is known about it; and the keys, and the fields of filters.

import { $, button, bytes, call, h, held, icon, number, original, round, thumbnail, toast } from "./dom.js";

export class Details {
	/** `does`: close(), step(id, by), and `keys`, what is done with a hit by key. */
	constructor(does) {
		Object.assign(this, { does, dialog: $("#details") });
		this.dialog.oncancel = (event) => {
			event.preventDefault();
			does.close();
		};
		this.dialog.onkeydown = (event) => this.#key(event);
	}

	async show(id, known) {
		if (this.id === id && this.dialog.open) return;
		this.id = id;
		if (!this.dialog.open) this.dialog.showModal();
		try {
			known ??= await call("GET", `/images/${id}/details`);
			if (this.id === id) this.#draw(known);
		} catch (problem) {
			this.dialog.replaceChildren(this.#top("It cannot be shown"), h("p", problem.message));
		}
	}

	hide() {
		this.id = null;
		this.dialog.close();
	}

	#top(title, ...before) {
		return h("div.top", before, h("h2", { id: "details-name", title }, title), round("Close", "close", () => this.does.close()));
	}

	#draw(hit) {
		const { dialog, does } = this;
		this.hit = hit;
		const lost = () => image.replaceWith("Its file cannot be read any more.");
		const image = h("img", { src: thumbnail(hit.id, 1024), alt: hit.name, width: hit.width, height: hit.height, onerror: lost });
		dialog.replaceChildren(
			this.#top(hit.name,
				round("The one before (←)", "left", () => does.step(hit.id, -1)),
				round("The next one (→)", "right", () => does.step(hit.id, 1))),
			h("div.picture", image),
			h("div.tools",
				h("button.primary", { onclick: () => does.keys.s(hit) }, icon("search"), "Search with this"),
				button([icon("plus"), "More like this"], () => does.keys.m(hit)),
				button([icon("minus"), "Less like this"], () => does.keys.l(hit))),
			h("dl", facts(hit).map(([name, value]) => h("div", h("dt", name), h("dd", value)))),
			h("div.tools",
				h("a.quiet", { href: original(hit.id), target: "_blank" }, "Open the original"),
				hit.path && button("Copy the path", () => navigator.clipboard.writeText(hit.path).then(() => toast("The path is in the clipboard."), toast))));
		$(".primary", dialog).focus();
	}

	#key(event) {
		const { does, hit } = this;
		const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
		if (!hit || held(event) || !(by || does.keys[event.key])) return;
		event.preventDefault();
		event.stopPropagation();
		if (by) does.step(hit.id, by);
		else does.keys[event.key](hit);
	}
}

// The photographer's clock is kept as if it were UTC.
const date = (seconds) =>
	new Date(seconds * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });

const facts = (hit) => [
	hit.score !== undefined && ["Score", hit.score.toFixed(3)],
	["Size", `${number(hit.width)} × ${number(hit.height)}, ${bytes(hit.size_bytes)}`],
	["Format", hit.format + (hit.animated ? ", animated" : "")],
	hit.taken_at && ["Taken", date(hit.taken_at)],
	hit.path && ["Path", hit.path],
	...Object.entries(hit.metadata).map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]),
].filter(Boolean);

const KEYS = [
	["← → ↑ ↓", "from picture to picture"], ["Enter", "its details"], ["s", "search with it"], ["m", "more like it"],
	["l", "less like it"], ["o", "open the original"], ["/", "to the filter; Esc: back to the pictures"], ["?", "this help"],
];

export function help(fields) {
	const dialog = $("#help");
	dialog.replaceChildren(
		h("div.top", h("h2", { id: "help-title" }, "Keys and filters"), round("Close", "close", () => dialog.close())),
		h("dl", KEYS.map(([keys, text]) => h("div", h("dt", h("kbd", keys)), h("dd", text)))),
		h("p", "Drop pictures anywhere, or paste them. Draw a box on your picture to search for a part of it."),
		h("p", "A filter: ", h("code", "width > 1000 and taken_at >= 2025-06 and not format in [\"gif\", \"png\"]")),
		h("p", "Its fields: ", fields.map((name) => [h("code", name), " "])));
	dialog.showModal();
}
