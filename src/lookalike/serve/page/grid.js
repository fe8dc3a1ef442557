// Pictures in rows of equal height. Their sizes are known before they are: nothing ever jumps.

import { h, held, icon, still, thumbnail } from "./dom.js";

const GAP = 8;

export class Grid {
	/** `keys` are what is done with a hit, by key: s, m, l and o. */
	constructor(list, keys, open) {
		Object.assign(this, { list, keys, open, hits: [], tiles: [], lines: [], more: false, active: 0 });
		list.onkeydown = (event) => this.#key(event);
		list.addEventListener("focusin", (event) => this.#activate(this.tiles.indexOf(event.target.closest(".tile"))));
		new ResizeObserver(() => list.clientWidth !== this.width && this.#layout()).observe(list);
	}

	/** Show these instead; pictures that stay move to their new places, and one keeps the focus. */
	show(hits, more) {
		const focused = this.list.contains(document.activeElement) && this.hits[this.active]?.id;
		const before = new Map(this.hits.map((hit, at) => [hit.id, this.tiles[at]]));
		Object.assign(this, { hits, more });
		this.tiles = hits.map((hit) => tell(before.get(hit.id) ?? this.#tile(), hit));
		this.list.replaceChildren(...this.tiles);
		this.#layout(true);
		this.#activate(Math.max(0, hits.findIndex(({ id }) => id === focused)));
		if (focused) this.focus();
	}

	append(hits, more) {
		const tiles = hits.map((hit) => tell(this.#tile(), hit));
		this.hits = [...this.hits, ...hits];
		this.tiles.push(...tiles);
		this.list.append(...tiles);
		this.more = more;
		this.#layout();
		this.#activate(this.active);
	}

	mark(terms) {
		const signs = new Map(terms.map(({ value, weight }) => [value, weight < 0 ? "less" : "more"]));
		for (const tile of this.tiles) tile.dataset.sign = signs.get(tile.hit.id) ?? "";
	}

	focus(id = this.hits[this.active]?.id) {
		const tile = this.tiles[this.hits.findIndex((hit) => hit.id === id)] ?? this.tiles[0];
		tile?.firstChild.focus({ preventScroll: true });
		tile?.scrollIntoView({ block: "nearest", behavior: still() ? "auto" : "smooth" });
	}

	#tile() {
		const act = (kind, sign, title, then) => h(`button.act.${kind}`, { title, onclick: () => then(tile.hit) }, icon(sign));
		const image = h("img", { alt: "", loading: "lazy", decoding: "async", onerror: () => image.replaceWith("The file is gone") });
		const tile = h("li.tile",
			h("button.pick", { onclick: () => this.open(tile.hit) }, image),
			h("span.acts",
				act("ask", "search", "Search with this (s)", this.keys.s),
				act("more", "plus", "More like this (m)", this.keys.m),
				act("less", "minus", "Less like this (l)", this.keys.l)),
			h("span.label", { "aria-hidden": "true" }));
		return tile;
	}

	#layout(moving = false) {
		const width = this.list.clientWidth;
		if (!width) return;
		const height = width < 560 ? 118 : 188;
		Object.assign(this, { width, lines: [] });
		let [line, sum, top] = [[], 0, 0];
		const place = (tall) => {
			let left = 0;
			for (const [at, ratio] of line) {
				this.#put(this.tiles[at], { left, top, width: ratio * tall, height: tall }, moving);
				left += ratio * tall + GAP;
			}
			this.lines.push(line.map(([at]) => at));
			top += tall + GAP;
			[line, sum] = [[], 0];
		};
		this.hits.forEach((hit, at) => {
			const ratio = Math.min(3, Math.max(0.45, hit.width / hit.height || 1));
			line.push([at, ratio]);
			sum += ratio;
			const room = width - GAP * (line.length - 1);
			if (sum * height >= room) place(room / sum);
		});
		// While more is to come, a row that is not full waits for it, so that it need not move.
		if (line.length && !(this.more && top)) place(height);
		for (const [at] of line) this.tiles[at].hidden = true;
		this.list.style.height = `${Math.max(0, top - GAP)}px`;
	}

	#put(tile, box, moving) {
		const old = tile.box;
		tile.box = box;
		tile.hidden = false;
		for (const side in box) tile.style[side] = `${box[side]}px`;
		const image = tile.firstChild.firstChild;
		if (!image.src) image.src = thumbnail(tile.hit.id, Math.max(box.width, box.height) * devicePixelRatio > 256 ? 512 : 256);
		if (!moving || still() || box.top > scrollY + 2 * innerHeight) return;
		const from = old && `translate(${old.left - box.left}px, ${old.top - box.top}px)`;
		tile.animate(old ? { transform: [from, "none"] } : { opacity: [0, 1] }, { duration: 300, easing: "cubic-bezier(.2,.8,.2,1)" });
	}

	/** One picture is in the order of Tab; arrows choose which. */
	#activate(at) {
		if (at < 0) return;
		this.active = at;
		this.tiles.forEach((tile, index) => {
			for (const each of tile.querySelectorAll("button")) each.tabIndex = index === at ? 0 : -1;
		});
	}

	#key(event) {
		const hit = this.hits[this.active];
		const goal = this.#goal(event.key);
		if (!hit || held(event)) return;
		if (goal !== undefined) this.focus(this.hits[goal].id);
		else if (this.keys[event.key]) this.keys[event.key](hit);
		else return;
		event.preventDefault();
	}

	#goal(key) {
		const last = this.lines.flat().length - 1;
		const { active, lines, tiles } = this;
		const beside = { ArrowRight: Math.min(last, active + 1), ArrowLeft: Math.max(0, active - 1), Home: 0, End: last };
		if (key !== "ArrowDown" && key !== "ArrowUp") return beside[key];
		const row = lines.findIndex((line) => line.includes(active));
		const middle = (at) => tiles[at].box.left + tiles[at].box.width / 2;
		const off = (at) => Math.abs(middle(at) - middle(active));
		const next = lines[row + (key === "ArrowDown" ? 1 : -1)] ?? [active];
		return next.reduce((best, at) => (off(at) < off(best) ? at : best));
	}
}

function tell(tile, hit) {
	tile.hit = hit;
	const score = hit.score?.toFixed(2);
	const [pick, acts, label] = tile.children;
	pick.ariaLabel = score ? `${hit.name}, score ${score}` : hit.name;
	["Search with", "More like", "Less like"].forEach((what, at) => { acts.children[at].ariaLabel = `${what} ${hit.name}`; });
	label.replaceChildren(score ? h("span", score) : "", h("span.name", hit.name));
	return tile;
}
