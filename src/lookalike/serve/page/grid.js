// Pictures in rows of equal height. Their sizes are known before they are: nothing ever jumps.

import { h, icon, number, plural, quick, thumbnail } from "./dom.js";

const GAP = 8;

export class Grid {
	/** `on`: open(hit), ask(hit), weigh(hit, step), original(hit). */
	constructor(list, on) {
		Object.assign(this, { list, on, hits: [], tiles: [], more: false, active: 0 });
		list.addEventListener("keydown", (event) => this.#key(event));
		list.addEventListener("focusin", (event) => {
			const at = this.tiles.indexOf(event.target.closest(".tile"));
			if (at >= 0) this.#activate(at);
		});
		new ResizeObserver(() => {
			if (list.clientWidth !== this.width) this.#layout();
		}).observe(list);
	}

	/** Show these instead; pictures that stay move to their new places. */
	show(hits, { more }) {
		const focused = this.list.contains(document.activeElement) ? this.hits[this.active]?.id : null;
		const before = new Map(this.hits.map((hit, at) => [hit.id, this.tiles[at]]));
		this.hits = hits;
		this.more = more;
		this.tiles = hits.map((hit) => this.#refresh(before.get(hit.id) ?? this.#tile(hit), hit));
		this.list.replaceChildren(...this.tiles);
		this.active = 0;
		this.#layout(true);
		this.#activate(Math.max(0, focused ? hits.findIndex((hit) => hit.id === focused) : 0));
		if (focused) this.focus();
	}

	append(hits, { more }) {
		const known = new Set(this.hits.map((hit) => hit.id));
		const fresh = hits.filter((hit) => !known.has(hit.id));
		const tiles = fresh.map((hit) => this.#refresh(this.#tile(hit), hit));
		this.hits = [...this.hits, ...fresh];
		this.tiles.push(...tiles);
		this.list.append(...tiles);
		this.more = more;
		this.#layout();
		this.#activate(this.active);
	}

	remove(id) {
		this.show(this.hits.filter((hit) => hit.id !== id), { more: this.more });
	}

	/** Mark what the question is made of. */
	mark(terms) {
		const signs = new Map(terms.map(({ kind, value, weight }) => [kind === "id" && value, weight < 0 ? "less" : "more"]));
		this.tiles.forEach((tile, at) => {
			const sign = signs.get(this.hits[at].id);
			if (sign) tile.dataset.sign = sign;
			else delete tile.dataset.sign;
		});
	}

	focus(id) {
		const at = id ? this.hits.findIndex((hit) => hit.id === id) : this.active;
		const tile = this.tiles[at] ?? this.tiles[0];
		tile?.firstChild.focus({ preventScroll: true });
		tile?.scrollIntoView({ block: "nearest", behavior: quick() ? "auto" : "smooth" });
	}

	neighbour(id, step) {
		const at = this.hits.findIndex((hit) => hit.id === id);
		return at < 0 ? null : this.hits[at + step];
	}

	#tile(hit) {
		const image = h("img", { alt: "", loading: "lazy", decoding: "async" });
		const tile = h("li", { class: "tile" },
			h("button", { class: "pick", onclick: () => this.on.open(tile.hit) }, image),
			h("span", { class: "acts" },
				this.#act("ask", "search", "Search with this (s)", () => this.on.ask(tile.hit)),
				this.#act("more", "plus", "More like this (m)", () => this.on.weigh(tile.hit, 1)),
				this.#act("less", "minus", "Less like this (l)", () => this.on.weigh(tile.hit, -1))),
			h("span", { class: "label", "aria-hidden": "true" }));
		image.addEventListener("error", () => tile.classList.add("gone"));
		tile.addEventListener("dragstart", (event) => {
			event.dataTransfer.setData("application/x-lookalike", tile.hit.id);
			event.dataTransfer.effectAllowed = "copy";
		});
		return tile;
	}

	#act(kind, sign, title, onclick) {
		return h("button", { class: `act ${kind}`, title, tabindex: "-1", onclick }, icon(sign));
	}

	#refresh(tile, hit) {
		tile.hit = hit;
		const score = hit.score === undefined ? "" : hit.score.toFixed(2);
		const copies = hit.similar_count ? plural(hit.similar_count, "copy", "copies") : "";
		const told = [hit.name, score && `score ${score}`, copies && `and ${copies}`, `${hit.width} by ${hit.height}`];
		tile.firstChild.setAttribute("aria-label", told.filter(Boolean).join(", "));
		const [ask, more, less] = tile.children[1].children;
		ask.setAttribute("aria-label", `Search with ${hit.name}`);
		more.setAttribute("aria-label", `More like ${hit.name}`);
		less.setAttribute("aria-label", `Less like ${hit.name}`);
		tile.lastChild.replaceChildren(
			score && h("span", { class: "score" }, score),
			copies && h("span", { class: "copies" }, `+${number(hit.similar_count)}`),
			h("span", { class: "name" }, hit.name));
		return tile;
	}

	#layout(moving = false) {
		const width = this.list.clientWidth;
		if (!width) return;
		const height = width < 560 ? 118 : 188;
		this.width = width;
		this.lines = [];
		let line = [];
		let sum = 0;
		let top = 0;
		const place = (tall) => {
			let left = 0;
			for (const [at, ratio] of line) {
				this.#put(this.tiles[at], { left, top, width: ratio * tall, height: tall }, moving);
				left += ratio * tall + GAP;
			}
			this.lines.push(line.map(([at]) => at));
			top += tall + GAP;
			line = [];
			sum = 0;
		};
		this.hits.forEach((hit, at) => {
			const ratio = Math.min(3, Math.max(0.45, hit.width / hit.height || 1));
			line.push([at, ratio]);
			sum += ratio;
			const gaps = GAP * (line.length - 1);
			if (sum * height + gaps >= width) place((width - gaps) / sum);
		});
		// While more is to come, a row that is not full waits for it, so that it need not move.
		const waiting = this.more && this.lines.length > 0;
		for (const [at] of line) this.tiles[at].hidden = waiting;
		if (line.length && !waiting) place(height);
		this.list.style.height = `${Math.max(0, top - GAP)}px`;
	}

	#put(tile, box, moving) {
		const old = tile.box;
		tile.box = box;
		tile.hidden = false;
		for (const side of ["left", "top", "width", "height"]) tile.style[side] = `${box[side]}px`;
		const image = tile.firstChild.firstChild;
		const pixels = Math.max(box.width, box.height) * devicePixelRatio;
		if (!image.src) image.src = thumbnail(tile.hit.id, pixels > 256 ? 512 : 256);
		if (!moving || quick() || box.top > scrollY + 2 * innerHeight) return;
		if (!old) tile.animate({ opacity: [0, 1] }, { duration: 220, easing: "ease-out" });
		else {
			const from = `translate(${old.left - box.left}px, ${old.top - box.top}px)`;
			tile.animate({ transform: [from, "none"] }, { duration: 320, easing: "cubic-bezier(.2,.8,.2,1)" });
		}
	}

	/** One picture is in the order of Tab; arrows choose which. */
	#activate(at) {
		this.active = at;
		this.tiles.forEach((tile, index) => {
			const order = index === at ? "0" : "-1";
			if (tile.firstChild.getAttribute("tabindex") === order) return;
			tile.firstChild.setAttribute("tabindex", order);
			for (const button of tile.children[1].children) button.setAttribute("tabindex", order);
		});
	}

	#key(event) {
		if (event.ctrlKey || event.metaKey || event.altKey) return;
		const hit = this.hits[this.active];
		const acts = {
			m: () => this.on.weigh(hit, 1),
			l: () => this.on.weigh(hit, -1),
			s: () => this.on.ask(hit),
			o: () => this.on.original(hit),
		};
		const goal = this.#goal(event.key);
		if (goal !== null) {
			this.#activate(goal);
			this.focus();
		} else if (hit && acts[event.key]) acts[event.key]();
		else return;
		event.preventDefault();
	}

	#goal(key) {
		const last = this.lines.flat().length - 1;
		if (key === "ArrowRight") return Math.min(last, this.active + 1);
		if (key === "ArrowLeft") return Math.max(0, this.active - 1);
		if (key === "Home") return 0;
		if (key === "End") return last;
		if (key !== "ArrowDown" && key !== "ArrowUp") return null;
		const row = this.lines.findIndex((line) => line.includes(this.active));
		const next = this.lines[row + (key === "ArrowDown" ? 1 : -1)];
		if (!next) return this.active;
		const middle = (at) => this.tiles[at].box.left + this.tiles[at].box.width / 2;
		const from = middle(this.active);
		return next.reduce((best, at) => (Math.abs(middle(at) - from) < Math.abs(middle(best) - from) ? at : best));
	}
}
