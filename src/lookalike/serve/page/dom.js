// Elements, words for numbers, and the one way to the server.

export const $ = (selector, root = document) => root.querySelector(selector);

/** An element: h("p.big", {title}, "text", child…). Texts stay texts, whatever is in them. */
export function h(tag, ...children) {
	const [name, ...classes] = tag.split(".");
	const element = document.createElement(name);
	if (classes.length) element.className = classes.join(" ");
	const given = children[0]?.constructor === Object ? children.shift() : {};
	for (const [key, value] of Object.entries(given)) {
		if (key.startsWith("on")) element[key] = value;
		else if (value !== false && value != null) element.setAttribute(key, value === true ? "" : value);
	}
	element.append(...children.flat(9).filter((child) => child || child === 0));
	return element;
}

const SHAPES = {
	plus: "M12 5v14M5 12h14", minus: "M5 12h14", close: "m6 6 12 12M18 6 6 18", left: "m14.5 5-7 7 7 7", right: "m9.5 5 7 7-7 7",
	search: "M17 11a6 6 0 1 0-12 0 6 6 0 0 0 12 0m3 9-4.5-4.5", crop: "M7 2.5V17h14.5M2.5 7H17v14.5",
	picture: "M4 5h16v14H4zM9 10h.01M4 17l5-4 3.5 2.5L16 12l4 3.5",
	globe: "M20.5 12a8.5 8.5 0 1 0-17 0 8.5 8.5 0 0 0 17 0zh-17m8.5-8.5c-5 5-5 12 0 17 5-5 5-12 0-17",
};

export function icon(name) {
	const make = (tag) => document.createElementNS("http://www.w3.org/2000/svg", tag);
	const svg = make("svg");
	svg.classList.add("icon");
	svg.setAttribute("viewBox", "0 0 24 24");
	svg.appendChild(make("path")).setAttribute("d", SHAPES[name]);
	return svg;
}

export const button = (label, onclick, more) => h("button.quiet", { type: "button", onclick, ...more }, label);
export const round = (name, sign, onclick) =>
	h("button.round", { type: "button", "aria-label": name, title: name, onclick }, icon(sign));
export const card = (sign, title, ...rest) => h("div.card", icon(sign), h("p.big", title), rest);

export const number = (value) => value.toLocaleString("en");
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

export function bytes(count) {
	let power = 0;
	for (; count >= 1000 && power < 3; power++) count /= 1000;
	return `${power ? count.toPrecision(3) : count} ${["B", "kB", "MB", "GB"][power]}`;
}

export const API = "/api/v1";
export const original = (id) => `${API}/images/${id}`;
export const thumbnail = (id, size) => `${original(id)}/thumbnail?size=${size}`;

const problem = (status, error, retryAfter) => Object.assign(Error(), error, { status, retryAfter });

/** What the server answers. Throws its error with the status, 0 if it cannot be reached. */
export async function call(method, path, { json, form, signal } = {}) {
	const headers = json ? { "Content-Type": "application/json" } : {};
	const response = await fetch(API + path, { method, signal, headers, body: json ? JSON.stringify(json) : form }).catch(() => {
		throw problem(0, { message: "The server does not answer." });
	});
	if (response.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
	if (response.status === 204) return null;
	const answer = await response.json().catch(() => null);
	if (response.ok && answer) return answer;
	throw problem(response.status, answer?.error ?? { message: response.statusText }, response.headers.get("Retry-After"));
}

export const query = (given) => new URLSearchParams(Object.entries(given).filter(([, value]) => value || value === 0));

export function later(pause, then) {
	let timer;
	return (...given) => {
		clearTimeout(timer);
		timer = setTimeout(then, pause, ...given);
	};
}

const hide = later(7000, () => { $("#toast").hidden = true; });

export function toast(text) {
	$("#toast").textContent = text.message ?? text;
	$("#toast").hidden = false;
	hide();
}

export const held = ({ ctrlKey, metaKey, altKey }) => ctrlKey || metaKey || altKey;
export const say = (text) => { $("#status").textContent = text; };
export const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
