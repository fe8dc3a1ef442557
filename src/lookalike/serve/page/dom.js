// Elements, words for numbers, and the one way to the server.

export const $ = (selector, root = document) => root.querySelector(selector);

/** An element; children that are texts stay texts, whatever is in them. */
export function h(tag, properties, ...children) {
	const element = document.createElement(tag);
	for (const [name, value] of Object.entries(properties ?? {})) {
		if (value === null || value === undefined || value === false) continue;
		if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
		else if (value === true) element.setAttribute(name, "");
		else element.setAttribute(name, value);
	}
	element.append(...children.flat().filter((child) => child || child === 0));
	return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function icon(name) {
	const svg = document.createElementNS(SVG, "svg");
	svg.setAttribute("class", "icon");
	svg.setAttribute("aria-hidden", "true");
	const use = svg.appendChild(document.createElementNS(SVG, "use"));
	use.setAttribute("href", `#i-${name}`);
	return svg;
}

export const number = (value) => value.toLocaleString("en");
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

export function bytes(count) {
	const unit = ["B", "kB", "MB", "GB"];
	let power = 0;
	for (; count >= 1000 && power < 3; power++) count /= 1000;
	return `${power ? count.toPrecision(3) : count} ${unit[power]}`;
}

/** A capture time, as the photographer's clock showed it. */
export const date = (seconds) =>
	new Date(seconds * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });

export const API = "/api/v1";
export const thumbnail = (id, size) => `${API}/images/${id}/thumbnail?size=${size}`;
export const original = (id) => `${API}/images/${id}`;

/** Why a request was not answered; status 0 is a server that cannot be reached. */
export class Problem extends Error {
	constructor(status, error, retryAfter = null) {
		super(error.message);
		Object.assign(this, { status, code: error.code, field: error.field, position: error.position, retryAfter });
	}

	get passing() {
		return [0, 429, 502, 503, 504].includes(this.status);
	}
}

/** What the server answers, as an object; throws a Problem. */
export async function call(method, path, { json, form, signal } = {}) {
	let response;
	try {
		response = await fetch(API + path, {
			method,
			signal,
			body: json ? JSON.stringify(json) : form,
			headers: json ? { "Content-Type": "application/json" } : {},
		});
	} catch (error) {
		if (error.name === "AbortError") throw error;
		throw new Problem(0, { code: "away", message: "The server does not answer." });
	}
	if (response.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
	if (response.status === 204) return null;
	const answer = await response.json().catch(() => null);
	if (response.ok && answer) return answer;
	const error = answer?.error ?? { code: "unknown", message: `The server answered ${response.status}.` };
	throw new Problem(response.status, error, Number(response.headers.get("Retry-After")) || null);
}

export const query = (parameters) => {
	const known = Object.entries(parameters).filter(([, value]) => value !== null && value !== "" && value !== undefined);
	return new URLSearchParams(known).toString();
};

/** Calls after a pause in which it was not called again. */
export function later(pause, then) {
	let timer;
	const waiting = (...given) => {
		clearTimeout(timer);
		timer = setTimeout(() => then(...given), pause);
	};
	waiting.cancel = () => clearTimeout(timer);
	return waiting;
}

let toasting;

/** Say something that happened, for some seconds, with a way to take it back. */
export function toast(text, { label, action } = {}) {
	const place = $("#toast");
	const button = label && h("button", { class: "quiet", onclick: () => { place.hidden = true; action(); } }, label);
	place.replaceChildren(text, " ", button ?? "");
	place.hidden = false;
	clearTimeout(toasting);
	toasting = setTimeout(() => { place.hidden = true; }, label ? 20000 : 6000);
}

export const say = (text) => { $("#status").textContent = text; };
export const quick = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
