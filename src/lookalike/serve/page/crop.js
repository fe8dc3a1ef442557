// A box on the query picture: drawn, moved and resized by pointer, or by keys.

import { h, later } from "./dom.js";

const LEAST = 0.04;
const percent = (value) => Math.round(value * 1000) / 10;
const within = (value, least, most) => Math.min(most, Math.max(least, value));

export class Cropper {
	/** `frame` holds the picture and nothing else; `changed` is called with four percents, or null. */
	constructor(frame, crop, changed) {
		Object.assign(this, { frame, changed });
		this.soon = later(350, () => this.#commit());
		this.box = h("div.crop", { tabindex: 0, role: "group", "aria-describedby": "crop-keys", onkeydown: (event) => this.#key(event) },
			["nw", "ne", "sw", "se"].map((corner) => h(`span.handle.${corner}`, { "data-corner": corner })));
		frame.append(this.box);
		frame.onpointerdown = (event) => this.#down(event);
		this.#set(crop && crop.map((part) => part / 100));
	}

	begin() {
		this.#set([0.25, 0.25, 0.5, 0.5]);
		this.box.focus();
		this.#commit();
	}

	clear() {
		this.#set(null);
		this.#commit();
	}

	#set(part) {
		this.part = part;
		this.box.hidden = !part;
		this.frame.classList.toggle("cropped", Boolean(part));
		if (!part) return;
		["left", "top", "width", "height"].forEach((side, at) => { this.box.style[side] = `${part[at] * 100}%`; });
		const [x, y, width, height] = part.map((each) => `${Math.round(each * 100)} %`);
		this.box.ariaLabel = `Part that is searched for: ${width} wide, ${height} high, ${x} from the left, ${y} from the top`;
	}

	#commit() {
		this.changed(this.part && this.part.map(percent));
	}

	#at({ clientX, clientY }) {
		const { left, top, width, height } = this.frame.getBoundingClientRect();
		return [within((clientX - left) / width, 0, 1), within((clientY - top) / height, 0, 1)];
	}

	#down(event) {
		const before = this.part;
		// A finger on the picture scrolls the page, until there is a box.
		if (event.button || !event.isPrimary || (event.pointerType === "touch" && !before)) return;
		const [x, y, width, height] = before ?? [];
		const corner = event.target.dataset.corner ?? "";
		const moves = event.target === this.box;
		const from = this.#at(event);
		const anchor = corner ? [corner.includes("w") ? x + width : x, corner.includes("n") ? y + height : y] : from;
		this.frame.setPointerCapture(event.pointerId);
		this.frame.onpointermove = (moved) => {
			const to = this.#at(moved);
			if (moves) this.#set([within(x + to[0] - from[0], 0, 1 - width), within(y + to[1] - from[1], 0, 1 - height), width, height]);
			else this.#set([...anchor.map((each, axis) => Math.min(each, to[axis])), ...anchor.map((each, axis) => Math.abs(each - to[axis]))]);
		};
		this.frame.onlostpointercapture = () => {
			this.frame.onpointermove = null;
			if (this.part && Math.min(this.part[2], this.part[3]) < LEAST) this.#set(null);
			if (String(this.part) !== String(before)) this.#commit();
		};
	}

	#key(event) {
		const axis = { ArrowLeft: 0, ArrowRight: 0, ArrowUp: 1, ArrowDown: 1 }[event.key];
		const clears = ["Escape", "Delete", "Backspace"].includes(event.key);
		if (axis === undefined && !clears) return;
		event.preventDefault();
		event.stopPropagation();
		if (clears) return this.clear();
		const step = (/Left|Up/.test(event.key) ? -1 : 1) * (event.altKey ? 0.01 : 0.05);
		const part = [...this.part];
		if (event.shiftKey) part[axis + 2] = within(part[axis + 2] + step, LEAST, 1 - part[axis]);
		else part[axis] = within(part[axis] + step, 0, 1 - part[axis + 2]);
		this.#set(part);
		this.soon();
	}
}
