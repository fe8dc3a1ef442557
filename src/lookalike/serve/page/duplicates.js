// What is there more than once: which to keep, which to do away with.

import { button, bytes, call, card, h, number, original, plural, query, thumbnail, toast } from "./dom.js";

const LEVELS = { near: "the same picture", exact: "the same bytes", similar: "pictures merely alike" };
const KEEP = ["most-pixels", "largest", "newest", "oldest", "shortest-path"];

export class Duplicates {
	/** `page`: info, notice(problem, again), changed(). */
	constructor(place, page) {
		Object.assign(this, { place, page, chosen: { level: "near", keep: "most-pixels" } });
	}

	open() {
		const choice = (label, name, options) => h("label", label, h("select", {
			onchange: ({ target }) => {
				this.chosen[name] = target.value;
				this.#again();
			},
		}, options.map(([value, text]) => h("option", { value, selected: value === this.chosen[name] }, text))));
		this.list = h("div");
		this.told = h("p.hint", { role: "status" });
		this.more = button("Show more", () => this.#load(), { hidden: true });
		this.place.replaceChildren(
			h("div.heading", h("h2", "What you have more than once"), this.told),
			h("div.tools",
				choice("Find ", "level", Object.entries(LEVELS)),
				choice("Keep ", "keep", KEEP.map((rule) => [rule, rule.replace("-", " ")]))),
			this.list, this.more);
		this.#again();
	}

	#again() {
		this.count = 0;
		this.list.replaceChildren();
		this.told.textContent = "Comparing…";
		return this.#load();
	}

	async #load() {
		const asked = query({ ...this.chosen, limit: 20, offset: this.count }).toString();
		this.asked = asked;
		this.more.hidden = true;
		try {
			const { groups, total, more } = await call("GET", `/duplicates?${asked}`);
			if (this.asked !== asked) return;
			this.count += groups.length;
			this.list.append(...groups.map((group) => this.#group(group)));
			this.more.hidden = !more;
			this.told.textContent = plural(total, "group");
			if (!total) this.list.append(card("picture", "No duplicates", h("p", "Nothing is there twice.")));
		} catch (problem) {
			this.told.textContent = "";
			this.list.append(this.page.notice(problem, () => this.#again()));
		}
	}

	#group({ keep, others }) {
		const tools = h("div.tools");
		const boxes = () => [...group.querySelectorAll("input")];
		const refresh = () => {
			for (const box of boxes()) box.closest(".member").dataset.fate = box.checked ? "keep" : "discard";
			const kept = boxes().find(({ checked }) => checked)?.value;
			const discard = boxes().filter(({ checked }) => !checked).map(({ value }) => value);
			const act = (label, files) =>
				button(label, () => this.#discard(group, kept, discard, files), { disabled: !kept || !discard.length });
			tools.replaceChildren(
				act(`Take ${plural(discard.length, "picture")} out of the index`, false),
				this.page.info.allow_trash ? act(`Move ${plural(discard.length, "file")} to the trash`, true) : "");
		};
		const member = (each) => h("div.member", { "data-id": each.id },
			h("a.picture", { href: original(each.id), target: "_blank", title: "Open the original" },
				h("img", { src: thumbnail(each.id, 256), alt: each.name, loading: "lazy" })),
			h("p.name", { title: each.path ?? each.name }, each.path?.split("/").slice(-2).join("/") ?? each.name),
			h("p.hint", `${number(each.width)}×${number(each.height)} · ${bytes(each.size_bytes)} · ${each.format}`),
			h("p.hint", each === keep ? "" : each.kind === "exact" ? "the same bytes" : `${each.kind} ${each.score.toFixed(2)}`),
			h("label.check", h("input", {
				type: "checkbox", value: each.id, checked: each === keep, onchange: refresh, "aria-label": `Keep ${each.name}`,
			}), "Keep"));
		const group = h("fieldset.group",
			h("legend.unseen", `${keep.name} and ${plural(others.length, "other")}`),
			h("div.members", [keep, ...others].map(member)), tools);
		refresh();
		return group;
	}

	async #discard(group, keep, discard, files) {
		group.disabled = true;
		const then = ({ done, refused, undo }) => {
			const what = files
				? `${plural(done.length, "file")} moved to the trash.`
				: `${plural(done.length, "picture")} taken out of the index. The files stay; indexing brings them back.`;
			const back = () => {
				line.replaceWith(group);
				this.page.changed();
			};
			const line = h("div.group.done", { tabindex: -1 }, h("p", what),
				refused.map(({ reason }) => h("p.trouble", reason)),
				undo && button("Undo", () => call("POST", "/undo", { json: { undo } }).then(back, toast)));
			group.replaceWith(line);
			line.focus();
			this.page.changed();
		};
		await call("POST", "/duplicates/discard", { json: { keep, discard, files } }).then(then, toast);
		group.disabled = false;
	}
}
