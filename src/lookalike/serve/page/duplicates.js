// What is there more than once: which to keep, which to do away with.

import { bytes, call, h, icon, number, original, plural, query, thumbnail, toast } from "./dom.js";

const PAGE = 20;
const LEVELS = { exact: "the same bytes", near: "the same picture", similar: "merely alike" };
const KEEP = { "most-pixels": "most pixels", largest: "largest file", newest: "newest", oldest: "oldest", "shortest-path": "shortest path" };

export class Duplicates {
	constructor(place, { info, changed, notice }) {
		Object.assign(this, { place, info, changed, notice, level: "near", keep: "most-pixels" });
		this.list = h("div", { class: "groups" });
		this.told = h("p", { role: "status", class: "told" });
		this.more = h("button", { class: "quiet more", hidden: true, onclick: () => this.#load() }, "Show more");
	}

	open() {
		const choice = (label, name, options) => {
			const select = h("select", { onchange: () => { this[name] = select.value; this.#again(); } },
				Object.entries(options).map(([value, text]) => h("option", { value, selected: value === this[name] }, text)));
			return h("label", {}, label, " ", select);
		};
		this.place.replaceChildren(
			h("div", { class: "heading" }, h("h2", {}, "What you have more than once"), this.told),
			h("div", { class: "choices" }, choice("Find", "level", LEVELS), choice("Keep the one with", "keep", KEEP)),
			this.list, this.more);
		return this.#again();
	}

	#again() {
		this.count = 0;
		this.list.replaceChildren();
		this.told.textContent = "Comparing…";
		return this.#load();
	}

	async #load() {
		const asked = [this.level, this.keep];
		this.more.hidden = true;
		try {
			const parameters = query({ level: this.level, keep: this.keep, limit: PAGE, offset: this.count });
			const { groups, total, more } = await call("GET", `/duplicates?${parameters}`);
			if (String(asked) !== String([this.level, this.keep])) return;
			this.count += groups.length;
			this.list.append(...groups.map((group) => this.#group(group)));
			this.more.hidden = !more;
			this.told.textContent = total ? plural(total, "group") : "";
			if (!total) {
				this.list.replaceChildren(h("div", { class: "card" }, icon("picture"), h("p", { class: "big" }, "No duplicates"),
					h("p", {}, `No two pictures of this index are ${LEVELS[this.level]}.`)));
			}
		} catch (problem) {
			this.told.textContent = "";
			this.list.replaceChildren(this.notice(problem, () => this.#again()));
		}
	}

	#group({ keep, others }) {
		const name = `keep-${keep.id}`;
		const card = h("fieldset", { class: "group" });
		const members = [{ ...keep, kind: "keep" }, ...others];
		const action = h("div", { class: "tools" });
		const chosen = () => ({
			keep: card.querySelector("input[type=radio]:checked").value,
			discard: [...card.querySelectorAll("input[type=checkbox]:checked:enabled")].map((box) => box.value),
		});
		const refresh = () => {
			const { keep: kept, discard } = chosen();
			for (const item of card.querySelectorAll(".member")) {
				const mine = item.dataset.id === kept;
				item.dataset.fate = mine ? "keep" : discard.includes(item.dataset.id) ? "discard" : "stay";
				item.querySelector("input[type=checkbox]").disabled = mine;
			}
			const what = plural(discard.length, "picture");
			action.replaceChildren(
				h("button", { class: "quiet", disabled: !discard.length, onclick: () => this.#discard(card, chosen(), false) },
					`Take ${what} out of the index`),
				this.info.allow_trash && h("button", { class: "danger", disabled: !discard.length, onclick: () => this.#discard(card, chosen(), true) },
					`Move ${plural(discard.length, "file")} to the trash`));
		};
		card.append(
			h("legend", { class: "unseen" }, `${keep.name} and ${plural(others.length, "other")}`),
			h("div", { class: "members" }, members.map((each) => h("div", { class: "member", "data-id": each.id },
				h("a", { class: "picture", href: original(each.id), target: "_blank", title: "Open the original" },
					h("img", { src: thumbnail(each.id, 256), alt: each.name, loading: "lazy" })),
				h("p", { class: "name", title: each.path ?? each.name }, each.path ?? each.name),
				h("p", { class: "facts" }, `${number(each.width)}×${number(each.height)} · ${bytes(each.size_bytes)} · ${each.format}`,
					each.kind !== "keep" && h("span", { class: "kind" }, ` · ${each.kind}${each.kind === "exact" ? "" : ` ${each.score.toFixed(2)}`}`)),
				h("p", { class: "fate" },
					h("label", {}, h("input", { type: "radio", name, value: each.id, checked: each.kind === "keep", onchange: refresh, "aria-label": `Keep ${each.name}` }), " Keep"),
					h("label", {}, h("input", { type: "checkbox", value: each.id, checked: true, onchange: refresh, "aria-label": `Discard ${each.name}` }), " Discard"))))),
			action);
		refresh();
		return card;
	}

	async #discard(card, { keep, discard }, files) {
		for (const button of card.querySelectorAll("button")) button.disabled = true;
		try {
			const { done, refused, undo } = await call("POST", "/duplicates/discard", { json: { keep, discard, files } });
			this.changed();
			const what = files
				? `${plural(done.length, "file")} moved to the trash.`
				: `${plural(done.length, "picture")} taken out of the index; the files stay, and indexing brings them back.`;
			const left = refused.map(({ reason }) => h("p", { class: "trouble" }, reason));
			const line = h("div", { class: "group done", tabindex: "-1" }, h("p", {}, done.length ? what : "Nothing was changed."), left,
				undo && h("button", { class: "quiet", onclick: () => this.#undo(line, card, undo) }, "Undo"));
			card.replaceWith(line);
			line.focus();
		} catch (problem) {
			for (const button of card.querySelectorAll("button")) button.disabled = false;
			toast(problem.message);
		}
	}

	async #undo(line, card, token) {
		try {
			await call("POST", "/undo", { json: { undo: token } });
			for (const button of card.querySelectorAll("button")) button.disabled = false;
			line.replaceWith(card);
			card.querySelector("input").focus();
			this.changed();
			toast("They are back.");
		} catch (problem) {
			toast(problem.message);
		}
	}
}
