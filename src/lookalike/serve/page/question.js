// The question as one sees it: a picture to draw a box on, and what else it is made of.

import { Cropper } from "./crop.js";
import { $, API, call, h, icon, later, thumbnail } from "./dom.js";

const WEIGHT = 2;

export class Question {
	/** `on`: add(terms, fresh), change(terms, kind), trouble(problem). */
	constructor(on) {
		this.on = on;
		this.facts = new Map(); // what is known of a term's picture, by its id
		this.selected = 0;
		this.terms = [];
		this.reads = false;
		$("#add").addEventListener("submit", (event) => {
			event.preventDefault();
			this.#addText($("#text").value.trim());
		});
		$("#file").addEventListener("change", async (event) => {
			const files = [...event.target.files];
			event.target.value = "";
			await this.upload(files, this.terms.length === 0);
		});
	}

	know(hit) {
		this.facts.set(hit.id, { name: hit.name, width: hit.width, height: hit.height });
	}

	readsWords(reads) {
		this.reads = reads;
		$("#text").placeholder = reads ? "words, or a picture’s address" : "https://… a picture’s address";
		$("#text-label").textContent = reads ? "Words, or the address of a picture" : "Address of a picture";
	}

	/** Send pictures, and ask with them. */
	async upload(files, fresh) {
		const pictures = files.slice(0, 8);
		if (!pictures.length) return;
		this.trouble(null);
		this.#waiting(pictures[0]);
		try {
			const terms = [];
			for (const picture of pictures) {
				const form = new FormData();
				form.append("picture", picture, picture.name || "picture");
				const sent = await call("POST", "/uploads", { form });
				this.facts.set(sent.id, { name: picture.name || "Pasted picture", width: sent.width, height: sent.height });
				terms.push({ kind: "upload", value: sent.id, weight: 1, crop: null });
			}
			this.on.add(terms, fresh);
		} catch (problem) {
			this.show(this.terms);
			this.trouble(problem.status ? `${pictures[0].name || "The picture"}: ${problem.message}` : problem.message);
		}
	}

	#addText(text) {
		if (!text) return $("#text").focus();
		const kind = /^https?:\/\//i.test(text) ? "url" : "words";
		if (kind === "words" && !this.reads) {
			return this.trouble("This index’s model reads no words. Type an address that begins with https://, or choose a picture.");
		}
		this.trouble(null);
		$("#text").value = "";
		this.on.add([{ kind, value: text, weight: 1, crop: null }], false);
	}

	trouble(text) {
		$("#trouble").hidden = !text;
		$("#trouble").textContent = text ?? "";
	}

	#name({ kind, value }) {
		if (kind === "words") return `“${value}”`;
		if (kind === "url") return URL.canParse(value) ? new URL(value).hostname : value;
		return this.facts.get(value)?.name ?? (kind === "upload" ? "Your picture" : "Picture of the index");
	}

	show(terms) {
		const grown = terms.length > this.terms.length;
		const focused = document.activeElement;
		// What has the focus stays: a weight that is being moved, a box that is being drawn.
		const kept = this.key === keyOf(terms) && $("#terms").contains(focused);
		this.terms = terms;
		this.key = keyOf(terms);
		this.selected = Math.min(this.selected, Math.max(0, terms.length - 1));
		$("#question").classList.toggle("empty", terms.length === 0);
		this.#stage();
		if (kept) terms.forEach((term, at) => this.#weighed($("#terms").children[at], term));
		else $("#terms").replaceChildren(...terms.map((term, at) => this.#term(term, at, grown && at === terms.length - 1)));
		for (const { kind, value } of terms) if (kind === "id" && !this.facts.has(value)) this.#learn(value);
	}

	async #learn(id) {
		this.facts.set(id, {});
		try {
			this.know(await call("GET", `/images/${id}/details`));
			this.show(this.terms);
		} catch {
			this.facts.set(id, { name: "A picture that is gone" });
		}
	}

	#stage() {
		const term = this.terms[this.selected];
		const key = term ? `${term.kind} ${term.value} ${this.selected}` : "none";
		if (this.staged === key) {
			if (this.cropper && String(this.cropper.told) !== String(term.crop)) this.staged = null;
			else return;
		}
		this.staged = key;
		this.cropper = null;
		$("#stage").replaceChildren(...(term ? this.#staged(term) : this.#invitation()));
	}

	#invitation() {
		return [
			icon("picture"),
			h("p", { class: "big" }, "Drop a picture here"),
			h("p", {}, "or paste one, or click one of yours"),
			h("button", { class: "primary", onclick: () => $("#file").click() }, "Choose a picture"),
		];
	}

	#waiting(picture) {
		const address = URL.createObjectURL(picture);
		const image = h("img", { src: address, alt: "" });
		image.addEventListener("load", () => URL.revokeObjectURL(address));
		image.addEventListener("error", () => image.remove());
		this.staged = "waiting";
		$("#stage").replaceChildren(h("div", { class: "frame waiting" }, image), h("p", { class: "big" }, "Looking at it…"));
	}

	#staged(term) {
		const sizes = h("div", { class: "tools" });
		if (term.kind === "words") return [h("p", { class: "quote" }, this.#name(term))];
		if (term.kind === "url") {
			return [icon("globe"), h("p", { class: "address" }, term.value), h("p", {}, "The server fetches this picture.")];
		}
		const image = h("img", { alt: `The question: ${this.#name(term)}`, draggable: "false" });
		const frame = h("div", { class: "frame" }, image);
		image.addEventListener("load", () => frame.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight));
		const { width, height } = this.facts.get(term.value) ?? {};
		if (width) frame.style.setProperty("--ratio", width / height);
		image.addEventListener("error", () => frame.classList.add("gone"));
		image.src = picture(term, 1024);
		const at = this.selected;
		const cropper = new Cropper(frame, term.crop, (crop) => {
			cropper.told = crop;
			draw(crop);
			this.on.change(this.terms.map((each, index) => (index === at ? { ...each, crop } : each)), "crop");
		});
		cropper.told = term.crop;
		this.cropper = cropper;
		const draw = (crop) => sizes.replaceChildren(
			crop
				? h("button", { class: "quiet", onclick: () => { cropper.clear(); $("button", sizes).focus(); } }, icon("close"), "The whole picture")
				: h("button", { class: "quiet", onclick: () => cropper.begin() }, icon("crop"), "Search for a part"),
			h("span", { id: "crop-keys", class: "hint" },
				crop ? "Arrows move it, Shift and arrows resize it" : "or draw a box on the picture"));
		draw(term.crop);
		return [frame, sizes];
	}

	#term(term, at, fresh) {
		const name = this.#name(term);
		const small = ["id", "upload"].includes(term.kind)
			? h("img", { src: picture(term, 128), alt: "" })
			: icon(term.kind === "url" ? "globe" : "words");
		const change = later(120, (weight) =>
			this.on.change(this.terms.map((each, index) => (index === at ? { ...each, weight } : each)), "weight"));
		const range = h("input", {
			type: "range", min: -WEIGHT, max: WEIGHT, step: 0.25, value: term.weight, "aria-label": `Weight of ${name}`,
		});
		range.addEventListener("input", () => {
			this.#weighed(item, { ...term, weight: Number(range.value) });
			change(Number(range.value) || 0.25 * Math.sign(term.weight));
		});
		const item = h("li", { class: `term${fresh ? " fresh" : ""}` },
			h("button", {
				class: "small", "aria-pressed": String(at === this.selected), "aria-label": `Show ${name}`,
				onclick: () => { this.selected = at; this.show(this.terms); $("#terms").children[at].firstChild.focus(); },
			}, small),
			h("div", { class: "weighing" },
				h("p", {}, h("span", { class: "sign" }), h("span", { class: "name", title: name }, name), term.crop && h("span", { class: "part", title: "a part of it" }, icon("crop"))),
				h("label", { class: "weight" }, range, h("output", {}))),
			h("button", {
				class: "round", "aria-label": `Take ${name} out of the question`, title: "Take it out",
				onclick: () => this.#remove(at),
			}, icon("close")));
		this.#weighed(item, term);
		return item;
	}

	#weighed(item, { weight }) {
		item.dataset.sign = weight < 0 ? "less" : "more";
		$(".sign", item).textContent = weight < 0 ? "less like " : this.terms.length > 1 ? "more like " : "like ";
		$("output", item).textContent = `${weight < 0 ? "−" : ""}${Math.abs(weight)}`;
		$("input", item).setAttribute("aria-valuetext", `${weight < 0 ? "less like it, " : ""}${Math.abs(weight)}`);
	}

	#remove(at) {
		this.on.change(this.terms.filter((_, index) => index !== at), "terms");
		const next = $("#terms").children[Math.min(at, this.terms.length - 1)];
		($("button:last-child", next ?? $("#stage")) ?? $("#text")).focus();
	}
}

const keyOf = (terms) => terms.map(({ kind, value, crop }) => `${kind}:${value}:${crop ? 1 : 0}`).join(" ");
const picture = ({ kind, value }, size) => (kind === "id" ? thumbnail(value, size) : `${API}/uploads/${value}`);
