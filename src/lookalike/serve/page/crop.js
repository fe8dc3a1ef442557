// A box on the query picture: drawn, moved and resized by pointer, or by keys.

import { h, later } from "./dom.js";

const LEAST = 0.04;
const round = (value) => Math.round(value * 1000) / 10;
const within = (value, least, most) => Math.min(most, Math.max(least, value));

export class Cropper {
	/** `frame` holds the picture and nothing else; `changed` is called with percents, or null. */
	constructor(frame, crop, changed) {
		Object.assign(this, { frame, changed });
		this.soon = later(350, () => this.#commit());
		this.box = h("div", { class: "crop", tabindex: "0", role: "group", "aria-describedby": "crop-keys", hidden: true },
			["nw", "ne", "sw", "se"].map((corner) => h("span", { class: `handle ${corner}`, "data-corner": corner })));
		this.box.addEventListener("keydown", (event) => this.#key(event));
		frame.append(this.box);
		frame.addEventListener("pointerdown", (event) => this.#down(event));
		this.#set(crop && crop.map((part) => part / 100));
	}

	/** A box in the middle, to be moved by keys. */
	begin() {
		if (!this.part) this.#set([0.25, 0.25, 0.5, 0.5]);
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
		const [x, y, width, height] = part.map(round);
		Object.assign(this.box.style, { left: `${x}%`, top: `${y}%`, width: `${width}%`, height: `${height}%` });
		const told = [x, y, width, height].map(Math.round);
		this.box.setAttribute("aria-label",
			`Part that is searched for: ${told[2]} % wide and ${told[3]} % high, ${told[0]} % from the left and ${told[1]} % from the top`);
	}

	#commit() {
		this.soon.cancel();
		this.changed(this.part && this.part.map(round));
	}

	#at(event) {
		const { left, top, width, height } = this.frame.getBoundingClientRect();
		return [within((event.clientX - left) / width, 0, 1), within((event.clientY - top) / height, 0, 1)];
	}

	#down(event) {
		if (event.button || !event.isPrimary) return;
		const inside = this.box.contains(event.target);
		// A finger on the picture scrolls the page, until there is a box.
		if (event.pointerType === "touch" && !this.part) return;
		event.preventDefault();
		const from = this.#at(event);
		const [x, y, width, height] = this.part ?? [0, 0, 0, 0];
		const corner = event.target.dataset?.corner;
		let anchor = from;
		if (corner) anchor = [corner.includes("w") ? x + width : x, corner.includes("n") ? y + height : y];
		const before = this.part;
		const move = (moved) => {
			const to = this.#at(moved);
			if (inside && !corner) {
				this.#set([within(x + to[0] - from[0], 0, 1 - width), within(y + to[1] - from[1], 0, 1 - height), width, height]);
			} else {
				const [a, b] = [0, 1].map((axis) => [Math.min(anchor[axis], to[axis]), Math.abs(anchor[axis] - to[axis])]);
				this.#set([a[0], b[0], a[1], b[1]]);
			}
		};
		const up = () => {
			this.frame.removeEventListener("pointermove", move);
			if (this.part && (this.part[2] < LEAST || this.part[3] < LEAST)) this.#set(null);
			if (String(this.part) !== String(before)) this.#commit();
		};
		this.frame.setPointerCapture(event.pointerId);
		this.frame.addEventListener("pointermove", move);
		this.frame.addEventListener("lostpointercapture", up, { once: true });
	}

	#key(event) {
		if (["Escape", "Delete", "Backspace"].includes(event.key)) {
			event.preventDefault();
			event.stopPropagation();
			this.clear();
			return;
		}
		const axis = { ArrowLeft: 0, ArrowRight: 0, ArrowUp: 1, ArrowDown: 1 }[event.key];
		if (axis === undefined) return;
		event.preventDefault();
		const step = (event.key === "ArrowLeft" || event.key === "ArrowUp" ? -1 : 1) * (event.altKey ? 0.01 : 0.05);
		const part = [...this.part];
		if (event.shiftKey) part[axis + 2] = within(part[axis + 2] + step, LEAST, 1 - part[axis]);
		else part[axis] = within(part[axis] + step, 0, 1 - part[axis + 2]);
		this.#set(part);
		this.soon();
	}
}
