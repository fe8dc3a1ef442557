// Making the index match the folders: what may be indexed, and how far it is.

import { $, API, call, h, icon, number, plural, toast } from "./dom.js";

const COUNTS = ["added", "updated", "moved", "removed", "unchanged", "skipped"];
const OVER = ["done", "failed", "cancelled"];

export class Indexing {
	constructor(place, { info, changed, notice }) {
		Object.assign(this, { place, info, changed, notice, job: null });
	}

	/** Follow a job that runs already, whoever has started it. */
	async resume() {
		const answer = await call("GET", "/jobs").catch(() => null);
		const running = (answer?.jobs ?? []).find((job) => !OVER.includes(job.state));
		if (running) this.#follow(running);
	}

	open() {
		const roots = this.info.roots ?? [];
		this.shown = h("div", { class: "job", role: "status" });
		const boxes = roots.map(({ name }) => h("label", { class: "root" }, h("input", { type: "checkbox", value: name, checked: true }), " ", name));
		const start = h("button", { class: "primary" }, "Index now");
		const form = h("form", { class: "roots" }, boxes, start);
		form.addEventListener("submit", (event) => {
			event.preventDefault();
			this.#start([...form.querySelectorAll("input:checked")].map((box) => box.value));
		});
		this.start = start;
		this.place.replaceChildren(
			h("div", { class: "heading" }, h("h2", {}, "Make the index match the folders"),
				h("p", { class: "told" }, `${plural(this.info.pictures, "picture")} · ${this.info.model}`)),
			roots.length
				? form
				: h("div", { class: "card" }, icon("picture"), h("p", { class: "big" }, "No folder may be indexed from here"),
					h("p", {}, "Start the server with ", h("code", {}, "lookalike serve --root FOLDER"), ", or index at a terminal: "),
					h("p", {}, h("code", {}, "lookalike index FOLDER"))),
			this.shown);
		this.#draw();
	}

	async #start(folders) {
		if (!folders.length) return toast("Choose a folder.");
		this.start.disabled = true;
		try {
			this.#follow(await call("POST", "/index", { json: { folders } }));
		} catch (problem) {
			this.start.disabled = false;
			this.shown.replaceChildren(this.notice(problem, () => this.#start(folders)));
		}
	}

	#follow(job) {
		this.job = job;
		this.#draw();
		this.events?.close();
		const events = new EventSource(`${API}/jobs/${job.id}/events`);
		this.events = events;
		const told = (event) => {
			if (!event.data) return; // that the connection is lost, which it finds again by itself
			this.job = JSON.parse(event.data);
			if (OVER.includes(this.job.state)) {
				events.close();
				this.changed();
			}
			this.#draw();
		};
		for (const name of ["progress", ...OVER]) events.addEventListener(name, told);
	}

	#draw() {
		const { job } = this;
		const runs = Boolean(job) && !OVER.includes(job.state);
		$("#busy").hidden = !runs;
		if (!this.shown || !job) return;
		if (this.start) this.start.disabled = runs;
		const counts = COUNTS.filter((name) => (job.report ?? job.progress ?? {})[name] !== undefined)
			.map((name) => [name, (job.report ?? job.progress)[name]])
			.map(([name, value]) => [name, Array.isArray(value) ? value.length : value]);
		const title = { queued: "Waiting for another job…", running: "Indexing…", done: "Done", cancelled: "Stopped; what was indexed stays", failed: "It failed" };
		const skipped = Array.isArray(job.report?.skipped) ? job.report.skipped : [];
		this.shown.replaceChildren(h("div", { class: `card wide ${job.state}` },
			h("p", { class: "big" }, title[job.state] ?? job.state),
			runs && h("progress", { "aria-label": "Indexing" }),
			h("ul", { class: "counts" }, counts.map(([name, value]) => h("li", {}, h("b", {}, number(value)), ` ${name}`))),
			job.error && h("p", { class: "trouble" }, job.error.message),
			runs && h("button", { class: "quiet", onclick: () => this.#cancel() }, "Stop"),
			skipped.length > 0 && h("details", {}, h("summary", {}, `Why ${plural(skipped.length, "file was", "files were")} skipped`),
				h("ul", {}, skipped.slice(0, 200).map(({ name, path, reason }) => h("li", {}, h("code", {}, path ?? name), ` ${reason}`))))));
	}

	async #cancel() {
		try {
			await call("DELETE", `/jobs/${this.job.id}`);
		} catch (problem) {
			toast(problem.message);
		}
	}
}
