// What is asked, and how it is written into the address: a question is a link.

const KINDS = ["id", "upload", "url", "words"];
// "0.5[10,10,50,50]:" before a term: its weight, and the part of it in percent.
const PREFIX = /^(-?\d+(?:\.\d+)?)(?:\[(\d[\d.]*(?:,\d[\d.]*){3})\])?:/;

export const EMPTY = { view: "search", terms: [], where: "", min: null, auto: false, diverse: false, show: null };

export function read(search) {
	const state = { ...EMPTY, terms: [] };
	for (const [name, text] of new URLSearchParams(search)) {
		if (KINDS.includes(name)) {
			const found = PREFIX.exec(text);
			const value = found ? text.slice(found[0].length) : text;
			if ((name === "id" || name === "upload") && !/^[0-9a-f]{32}$/.test(value)) continue;
			const crop = found?.[2] ? found[2].split(",").map(Number) : null;
			state.terms.push({ kind: name, value, weight: found ? Number(found[1]) : 1, crop });
		} else if (name === "view" && ["duplicates", "index"].includes(text)) state.view = text;
		else if (name === "where") state.where = text;
		else if (name === "min" && Number.isFinite(Number(text))) state.min = Number(text);
		else if (name === "auto" || name === "diverse") state[name] = true;
		else if (name === "show" && /^[0-9a-f]{32}$/.test(text)) state.show = text;
	}
	return state;
}

export function write(state) {
	const parameters = new URLSearchParams();
	if (state.view !== "search") parameters.set("view", state.view);
	for (const { kind, value, weight, crop } of state.view === "search" ? state.terms : []) {
		const plain = weight === 1 && !crop && !PREFIX.test(value);
		parameters.append(kind, plain ? value : `${weight}${crop ? `[${crop.join()}]` : ""}:${value}`);
	}
	if (state.view === "search") {
		if (state.where) parameters.set("where", state.where);
		if (state.min !== null) parameters.set("min", state.min);
		if (state.auto) parameters.set("auto", "1");
		if (state.diverse) parameters.set("diverse", "1");
		if (state.show) parameters.set("show", state.show);
	}
	const text = parameters.toString();
	return text ? `/?${text}` : "/";
}

/** The question as the server takes it. */
export function question({ terms, where, min, auto, diverse }, { limit, offset }) {
	return {
		terms: terms.map(({ kind, value, weight, crop }) => ({
			[kind]: value,
			weight,
			...(crop && { crop: crop.map((part) => `${part}%`).join() }),
		})),
		limit,
		offset,
		where: where || null,
		min_score: min,
		auto,
		diverse,
	};
}
