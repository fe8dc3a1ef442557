// One picture, large, with everything that is known about it.

import { $, bytes, call, date, h, icon, number, original, thumbnail, toast } from "./dom.js";

export class Details {
	/** `on`: close(), step(id, by), ask(hit), weigh(hit, step), removed(hit). */
	constructor(on) {
		this.on = on;
		this.dialog = $("#details");
		this.dialog.addEventListener("cancel", (event) => {
			event.preventDefault();
			on.close();
		});
		this.dialog.addEventListener("click", (event) => event.target === this.dialog && on.close());
		this.dialog.addEventListener("keydown", (event) => this.#key(event));
	}

	async show(id, known) {
		if (this.id === id && this.dialog.open) return;
		this.id = id;
		if (known) this.#draw(known);
		else this.dialog.replaceChildren(h("p", { class: "big", id: "details-name" }, "One moment…"));
		if (!this.dialog.open) this.dialog.showModal();
		if (known) this.dialog.querySelector(".primary").focus();
		try {
			const all = await call("GET", `/images/${id}/details`);
			if (this.id === id) this.#draw({ ...known, ...all });
		} catch (problem) {
			if (this.id !== id || known) return;
			this.dialog.replaceChildren(
				h("p", { class: "big", id: "details-name" }, "It cannot be shown"), h("p", {}, problem.message), this.#close());
		}
	}

	hide() {
		this.id = null;
		if (this.dialog.open) this.dialog.close();
	}

	#close() {
		return h("button", { class: "round close", "aria-label": "Close", title: "Close (Esc)", onclick: () => this.on.close() }, icon("close"));
	}

	#draw(hit) {
		const focused = this.dialog.contains(document.activeElement) && document.activeElement.dataset.key;
		this.hit = hit;
		const image = h("img", { src: thumbnail(hit.id, 1024), alt: hit.name, width: hit.width, height: hit.height });
		const link = h("a", { class: "picture", href: original(hit.id), target: "_blank", title: "Open the original" }, image);
		image.addEventListener("error", () => link.replaceChildren(h("p", { class: "big" }, "Its file cannot be read any more")));
		const button = (key, name, sign, action, kind = "quiet") =>
			h("button", { class: kind, "data-key": key, onclick: action }, sign && icon(sign), name);
		const remove = button("remove", "Take out of the index", null, () => {
			if (!remove.dataset.sure) {
				remove.dataset.sure = "yes";
				remove.textContent = "Take it out? Its file stays. Click again.";
			} else this.#remove(hit);
		}, "quiet danger");
		this.dialog.replaceChildren(
			h("div", { class: "top" },
				h("button", { class: "round", "aria-label": "The one before", title: "The one before (←)", onclick: () => this.on.step(hit.id, -1) }, icon("left")),
				h("button", { class: "round", "aria-label": "The next one", title: "The next one (→)", onclick: () => this.on.step(hit.id, 1) }, icon("right")),
				h("h2", { id: "details-name", title: hit.name }, hit.name),
				this.#close()),
			link,
			h("div", { class: "tools" },
				button("ask", "Search with this", "search", () => this.on.ask(hit), "primary"),
				button("more", "More like this", "plus", () => this.on.weigh(hit, 1)),
				button("less", "Less like this", "minus", () => this.on.weigh(hit, -1))),
			h("dl", {}, facts(hit).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
			h("div", { class: "tools" },
				h("a", { class: "button quiet", href: original(hit.id), target: "_blank" }, "Open the original"),
				hit.path && button("copy", "Copy the path", null, () => copy(hit.path)),
				remove));
		if (focused) this.dialog.querySelector(`[data-key=${focused}]`)?.focus();
	}

	async #remove(hit) {
		try {
			await call("DELETE", `/images/${hit.id}`);
			this.on.removed(hit);
		} catch (problem) {
			toast(problem.message);
		}
	}

	#key(event) {
		if (event.ctrlKey || event.metaKey || event.altKey || !this.hit) return;
		const acts = {
			ArrowLeft: () => this.on.step(this.hit.id, -1),
			ArrowRight: () => this.on.step(this.hit.id, 1),
			s: () => this.on.ask(this.hit),
			m: () => this.on.weigh(this.hit, 1),
			l: () => this.on.weigh(this.hit, -1),
			o: () => open(original(this.hit.id)),
		};
		if (!acts[event.key]) return;
		event.preventDefault();
		event.stopPropagation();
		acts[event.key]();
	}
}

async function copy(text) {
	try {
		await navigator.clipboard.writeText(text);
		toast("The path is in the clipboard.");
	} catch {
		toast(text);
	}
}

function facts(hit) {
	const own = Object.entries(hit.metadata ?? {});
	return [
		hit.score != null && ["Score", hit.score.toFixed(3)],
		["Size", `${number(hit.width)} × ${number(hit.height)}, ${bytes(hit.size_bytes)}`],
		["Format", hit.format + (hit.animated ? ", animated" : "")],
		hit.taken_at && ["Taken", date(hit.taken_at)],
		hit.similar_count > 0 && ["Copies", String(hit.similar_count)],
		hit.path && ["Path", hit.path],
		...own.map(([name, value]) => [name, typeof value === "object" ? JSON.stringify(value) : String(value)]),
	].filter(Boolean);
}
