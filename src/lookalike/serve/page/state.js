// What is asked, and how it stands in the address: a question is a link.

const ID = /^[0-9a-f]{32}$/;
// "0.5[10,10,50,50]:" before a term is its weight, and the part of it in percent.
const PREFIX = /^(-?\d+(?:\.\d+)?)(?:\[(\d[\d.]*(?:,\d[\d.]*){3})\])?:/;

export const EMPTY = { view: "search", terms: [], where: "", min: null, show: null };

export function read(search) {
	const state = { ...EMPTY, terms: [] };
	for (const [name, text] of new URLSearchParams(search)) {
		if (["id", "upload", "url", "words"].includes(name)) {
			const [prefix = "", weight = 1, crop] = PREFIX.exec(text) ?? [];
			const value = text.slice(prefix.length);
			if (name === "url" || name === "words" || ID.test(value))
				state.terms.push({ kind: name, value, weight: Number(weight), crop: crop ? crop.split(",").map(Number) : null });
		} else if (name === "view" && ["duplicates", "index"].includes(text)) state.view = text;
		else if (name === "where") state.where = text;
		else if (name === "min" && Number.isFinite(Number(text))) state.min = Number(text);
		else if (name === "show" && ID.test(text)) state.show = text;
	}
	return state;
}

export function write({ view, terms, where, min, show }) {
	if (view !== "search") return `/?view=${view}`;
	const parameters = new URLSearchParams();
	for (const { kind, value, weight, crop } of terms) {
		const plain = weight === 1 && !crop && !PREFIX.test(value);
		parameters.append(kind, plain ? value : `${weight}${crop ? `[${crop}]` : ""}:${value}`);
	}
	for (const [name, value] of Object.entries({ where, min, show }))
		if (value || value === 0) parameters.set(name, value);
	return parameters.size ? `/?${parameters}` : "/";
}

/** The question as the server takes it. */
export const question = ({ terms, where, min }, page) => ({
	terms: terms.map(({ kind, value, weight, crop }) => ({
		[kind]: value, weight, crop: crop && crop.map((part) => `${part}%`).join(),
	})),
	where: where || null, min_score: min, ...page,
});
