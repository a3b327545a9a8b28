// The page's only ways into the document. Whatever a client has sent becomes text here and can become nothing else:
// no markup is ever made of a string.

export const find = selector => document.querySelector(selector);

// make returns a new element with a class and a text.
export function make(name, className = '', text = '') {
	const element = document.createElement(name);
	if (className) element.className = className;
	if (text) element.textContent = text;
	return element;
}

// plain shows what would otherwise be unseen and could make a text look like another one: control characters, and those
// of Unicode that turn the direction of writing or have no width.
const plain = text => text.replace(/[\p{Cc}\p{Cf}]/gu, c => c === '\n' || c === '\t' ? c :
	`\\u{${c.codePointAt(0).toString(16).padStart(4, '0')}}`);

// write puts a text into an element, which stays as it is if it says so already: a reader's selection survives, and a
// screen reader is not told again.
export function write(element, text) {
	text = plain(String(text));
	if (element.textContent !== text) element.textContent = text;
}

export function classes(element, className) {
	if (element.className !== className) element.className = className;
}

export function show(element, visible) {
	if (element.hidden === visible) element.hidden = !visible;
}

// keep makes the children of parent those of items, in their order. The element of a key stays the same one for as
// long as the key is there, with its focus and what the reader has unfolded.
export function keep(parent, items, key, create, fill) {
	const old = parent.kept ?? new Map();
	const wanted = new Map(items.map(item => [key(item), item]));
	for (const [k, element] of old) {
		if (!wanted.has(k)) element.remove();
	}
	parent.kept = new Map();
	let place = parent.firstElementChild;
	for (const [k, item] of wanted) {
		const element = old.get(k) ?? create(item);
		parent.kept.set(k, element);
		fill(element, item);
		if (element === place) place = place.nextElementSibling;
		else parent.insertBefore(element, place);
	}
}

// fillCell fills a cell of a table with up to two lines and a mark beside the first one.
function fillCell(cell, {first = '', second = '', mark = '', tone = '', className = ''}) {
	const [a, m, b] = cell.children;
	write(a, first);
	write(b, second);
	cell.title = className === 'path' ? a.textContent : ''; // where it is cut short
	write(m, mark);
	classes(a, `first ${className}`.trim());
	classes(m, `mark ${tone}`.trim());
	show(m, mark !== '');
	show(b, second !== '');
}

// table keeps the rows of a table body. A column is {label, value(item), number}; the first one heads its row. Labels
// are shown where a row is a card, on a phone.
export function table(body, columns, items, key) {
	keep(body, items, key, () => {
		const row = make('tr');
		row.setAttribute('role', 'row');
		columns.forEach((column, i) => {
			const cell = make(i === 0 ? 'th' : 'td', column.number ? 'number' : '');
			cell.setAttribute('role', i === 0 ? 'rowheader' : 'cell');
			if (i === 0) cell.scope = 'row';
			cell.dataset.label = column.label;
			cell.append(make('span'), make('span'), make('span', 'second'));
			row.append(cell);
		});
		return row;
	}, (row, item) => columns.forEach((column, i) => fillCell(row.children[i], column.value(item))));
}
