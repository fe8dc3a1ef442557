// Making the index match the folders: what may be indexed, and how far it is.

import { $, API, button, call, card, h, number, plural, toast } from "./dom.js";

const COUNTS = ["added", "updated", "moved", "removed", "unchanged", "skipped"];
const TITLES = {
	queued: "Waiting for another job…", running: "Indexing…", done: "Done", failed: "It failed", cancelled: "Stopped; what was indexed stays",
};
const runs = (job) => job?.state === "queued" || job?.state === "running";

export class Indexing {
	constructor(place, page) {
		Object.assign(this, { place, page });
	}

	async resume() {
		const { jobs } = await call("GET", "/jobs").catch(() => ({ jobs: [] }));
		const job = jobs.find(runs);
		if (job) this.#follow(job);
	}

	open() {
		const { roots, pictures, model } = this.page.info;
		const start = () => this.#start([...form.querySelectorAll(":checked")].map(({ value }) => value));
		const boxes = roots.map(({ name }) => h("label.check", h("input", { type: "checkbox", value: name, checked: true }), name));
		const form = h("div.group.tools", boxes, h("button.primary", { onclick: start }, "Index now"));
		this.shown = h("div", { role: "status" });
		this.place.replaceChildren(
			h("div.heading", h("h2", "Make the index match the folders"), h("p.hint", `${plural(pictures, "picture")} · ${model}`)),
			roots.length ? form : card("picture", "No folder may be indexed from here",
				h("p", "Start the server with ", h("code", "lookalike serve --root FOLDER"), ", or index at a terminal: ", h("code", "lookalike index FOLDER"))),
			this.shown);
		this.#draw();
	}

	async #start(folders) {
		if (!folders.length) return toast("Choose a folder.");
		try {
			this.#follow(await call("POST", "/index", { json: { folders } }));
		} catch (problem) {
			this.shown.replaceChildren(this.page.notice(problem, () => this.#start(folders)));
		}
	}

	#follow(job) {
		const events = new EventSource(`${API}/jobs/${job.id}/events`);
		const told = ({ data }) => {
			this.job = JSON.parse(data);
			if (!runs(this.job)) {
				events.close();
				this.page.changed();
			}
			this.#draw();
		};
		for (const name of ["progress", "done", "failed", "cancelled"]) events.addEventListener(name, told);
		events.onerror = () => events.readyState > 1 && told({ data: '{"state":"cancelled"}' });
		this.job = job;
		this.#draw();
	}

	#draw() {
		const { job } = this;
		$("#busy").hidden = !runs(job);
		if (!this.shown || !job) return;
		const start = $(".primary", this.place);
		if (start) start.disabled = runs(job);
		const told = job.report ?? job.progress ?? {};
		const count = (name) => told[name]?.length ?? told[name];
		const skipped = job.report?.skipped ?? [];
		this.shown.replaceChildren(h("div.group.job",
			h("p.big", TITLES[job.state]),
			runs(job) && h("progress", { "aria-label": "Indexing" }),
			h("p.counts", COUNTS.filter((name) => count(name) !== undefined).map((name) => h("span", h("b", number(count(name))), ` ${name}`))),
			job.error && h("p.trouble", job.error.message),
			runs(job) && button("Stop", () => call("DELETE", `/jobs/${job.id}`).catch(toast)),
			skipped.length > 0 && h("details", h("summary", `Why ${plural(skipped.length, "file was", "files were")} skipped`),
				h("ul", skipped.slice(0, 200).map(({ name, path, reason }) => h("li", h("code", path ?? name), ` ${reason}`))))));
	}
}
