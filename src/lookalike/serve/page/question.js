// The question as one sees it: a picture to draw a box on, and what else it is made of.

import { Cropper } from "./crop.js";
import { $, API, button, call, h, icon, later, round, thumbnail } from "./dom.js";

export class Question {
	/** `does`: add(terms, fresh), change(terms, kind). */
	constructor(does) {
		Object.assign(this, { does, terms: [], selected: 0, reads: false });
		this.facts = new Map(); // what is known of a term's picture, by its id
		$("#add").onsubmit = () => this.#addText($("#text").value.trim());
		$("#choose").append(icon("picture"));
		$("#choose").onclick = () => $("#file").click();
		$("#file").onchange = ({ target }) => {
			this.upload([...target.files], !this.terms.length);
			target.value = "";
		};
	}

	know({ id, name, width, height }) {
		this.facts.set(id, { name, width, height });
	}

	readsWords(reads) {
		this.reads = reads;
		$("#text").placeholder = $("#text").ariaLabel = reads ? "Words, or a picture’s address" : "A picture’s address";
	}

	async upload(pictures, fresh) {
		this.trouble("");
		this.staged = "";
		$("#stage").replaceChildren(icon("picture"), h("p.big", "Looking at it…"));
		let name;
		try {
			const terms = [];
			for (const picture of pictures.slice(0, 8)) {
				name = picture.name || "Pasted picture";
				const form = new FormData();
				form.append("picture", picture, name);
				const sent = await call("POST", "/uploads", { form });
				this.know({ ...sent, name });
				terms.push({ kind: "upload", value: sent.id, weight: 1, crop: null });
			}
			this.does.add(terms, fresh);
		} catch (problem) {
			this.show(this.terms);
			this.trouble(problem.status ? `${name}: ${problem.message}` : problem.message);
		}
	}

	#addText(value) {
		const kind = /^https?:\/\//i.test(value) ? "url" : "words";
		if (!value) $("#text").focus();
		else if (kind === "words" && !this.reads)
			this.trouble("The model of this index reads no words. Type an address, https://…, or choose a picture.");
		else {
			$("#text").value = "";
			this.does.add([{ kind, value, weight: 1, crop: null }], false);
		}
	}

	trouble(text) {
		$("#trouble").hidden = !text;
		$("#trouble").textContent = text;
	}

	#name({ kind, value }) {
		if (kind === "words") return `“${value}”`;
		if (kind === "url") return value.split("/")[2];
		return this.facts.get(value)?.name ?? (kind === "upload" ? "your picture" : "a picture");
	}

	show(terms) {
		const key = terms.map(({ kind, value, crop }) => kind + value + Boolean(crop)).join();
		const list = $("#terms");
		// A weight that is being moved keeps the focus.
		const kept = this.key === key && list.contains(document.activeElement);
		this.selected = Math.max(0, Math.min(this.selected, terms.length - 1));
		Object.assign(this, { terms, key });
		$("#question").classList.toggle("empty", !terms.length);
		this.#stage();
		if (kept) terms.forEach((term, at) => weighed(list.children[at], term, terms));
		else list.replaceChildren(...terms.map((term, at) => this.#term(term, at)));
		for (const { kind, value } of terms) if (kind === "id" && !this.facts.has(value)) this.#learn(value);
	}

	async #learn(id) {
		this.facts.set(id, {});
		await call("GET", `/images/${id}/details`).then((all) => this.know(all), () => this.know({ id, name: "a picture that is gone" }));
		this.key = null;
		this.show(this.terms);
	}

	#change(at, change, kind) {
		this.does.change(this.terms.with(at, { ...this.terms[at], ...change }), kind);
	}

	#stage() {
		const term = this.terms[this.selected];
		const key = String(term && [term.kind, term.value, this.selected, term.crop]);
		if (this.staged === key) return;
		this.staged = key;
		$("#stage").replaceChildren(...(term ? this.#staged(term, this.selected) : [
			icon("picture"), h("p.big", "Drop a picture here"), h("p", "or paste one, or start with one of yours"),
			h("button.primary", { onclick: () => $("#file").click() }, "Choose a picture"),
		]));
	}

	#staged(term, at) {
		if (term.kind === "words") return [h("p.big", this.#name(term))];
		if (term.kind === "url") return [icon("globe"), h("p", term.value)];
		const shape = (width, height) => frame.style.setProperty("--ratio", width / height);
		const image = h("img", {
			alt: `The question: ${this.#name(term)}`, draggable: "false", src: source(term, 1024),
			onload: () => shape(image.naturalWidth, image.naturalHeight),
			onerror: () => frame.replaceChildren(h("p", "This picture cannot be shown any more.")),
		});
		const frame = h("div.frame", image);
		const known = this.facts.get(term.value);
		if (known?.width) shape(known.width, known.height);
		const tools = h("div.tools");
		const cropper = new Cropper(frame, term.crop, (crop) => {
			this.staged = String([term.kind, term.value, at, crop]); // it need not be drawn again
			draw(crop);
			this.#change(at, { crop }, "crop");
		});
		const whole = () => {
			cropper.clear();
			tools.firstChild.focus();
		};
		const draw = (crop) => tools.replaceChildren(
			crop ? button([icon("close"), "The whole picture"], whole) : button([icon("crop"), "Search for a part"], () => cropper.begin()),
			h("span.hint", { id: "crop-keys" }, crop ? "Arrows move it, with Shift they resize it" : "or draw a box on the picture"));
		draw(term.crop);
		return [frame, tools];
	}

	#term(term, at) {
		const name = this.#name(term);
		const sign = { url: "globe", words: "search" }[term.kind];
		const small = sign ? icon(sign) : h("img", { src: source(term, 128), alt: "", onerror: () => small.remove() });
		const change = later(120, (weight) => this.#change(at, { weight }, "weight"));
		const range = h("input", {
			type: "range", min: -2, max: 2, step: 0.25, value: term.weight, "aria-label": `Weight of ${name}`,
			oninput: () => {
				const weight = Number(range.value) || 0.25 * Math.sign(term.weight); // 0 would be no term
				weighed(item, { weight }, this.terms);
				change(weight);
			},
		});
		const select = () => {
			this.selected = at;
			this.show(this.terms);
			$("#terms").children[at].firstChild.focus();
		};
		const item = h("li.term",
			h("button.small", { "aria-pressed": String(at === this.selected), "aria-label": `Show ${name}`, onclick: select }, small),
			h("div.weighing",
				h("p", h("span.hint"), h("span.name", { title: name }, name), term.crop && icon("crop")),
				h("label", range, h("output"))),
			round(`Take ${name} out of the question`, "close", () => this.#remove(at)));
		weighed(item, term, this.terms);
		return item;
	}

	#remove(at) {
		this.does.change(this.terms.toSpliced(at, 1));
		const next = $("#terms").children[Math.min(at, this.terms.length - 1)];
		(next ? next.lastChild : $("#stage button")).focus();
	}
}

function weighed(item, { weight }, { length }) {
	item.dataset.sign = weight < 0 ? "less" : "more";
	$(".hint", item).textContent = weight < 0 ? "less like" : length > 1 ? "more like" : "like";
	$("output", item).textContent = `${weight < 0 ? "−" : ""}${Math.abs(weight)}`;
}

const source = ({ kind, value }, size) => (kind === "id" ? thumbnail(value, size) : `${API}/uploads/${value}`);
