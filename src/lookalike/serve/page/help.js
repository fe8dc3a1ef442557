// Which keys there are, and which fields filters know.

import { $, h, icon } from "./dom.js";

const KEYS = [
	["← → ↑ ↓", "from picture to picture"],
	["Enter", "its details"],
	["s", "search with it"],
	["m", "more like it"],
	["l", "less like it"],
	["o", "open the original"],
	["/", "to the filter, Esc back to the pictures"],
	["Esc", "close what is open"],
	["?", "this help"],
];

export function help(info) {
	const dialog = $("#help");
	const fields = info.fields ?? ["width", "height", "size", "format", "taken_at", "modified_at", "animated"];
	dialog.onclick = (event) => event.target === dialog && dialog.close();
	dialog.replaceChildren(
		h("div", { class: "top" }, h("h2", { id: "help-title" }, "Keys and filters"),
			h("button", { class: "round close", "aria-label": "Close", onclick: () => dialog.close() }, icon("close"))),
		h("dl", { class: "keys" }, KEYS.map(([keys, text]) => h("div", {}, h("dt", {}, h("kbd", {}, keys)), h("dd", {}, text)))),
		h("p", {}, "Drop pictures anywhere, or paste them. On the picture that you ask with, draw a box to search for a part of it."),
		h("h3", {}, "Filters"),
		h("p", {}, h("code", {}, "width > 1000 and taken_at >= 2025-06 and not format in [\"gif\", \"png\"]")),
		h("p", {}, "Fields: ", fields.flatMap((name, at) => [at ? ", " : null, h("code", {}, name)])));
	dialog.showModal();
}
