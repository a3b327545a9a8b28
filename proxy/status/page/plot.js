// Plots of the last 15 minutes, drawn as SVG at the size that they have on the screen.

import {make, write} from './dom.js';
import {clock} from './format.js';

const period = 15 * 60 * 1000; // ms
const height = 150;
const margin = {top: 8, right: 10, bottom: 22, left: 62};
const lines = 4;

function shape(name, attributes, text) {
	const element = document.createElementNS('http://www.w3.org/2000/svg', name);
	for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
	if (text) element.textContent = text;
	return element;
}

// ceiling is the smallest 1, 2, 4 or 8 times a power of ten that holds most, so that its quarters are round as well.
function ceiling(most, least) {
	let power = 10 ** Math.floor(Math.log10(Math.max(most, least)));
	for (;; power *= 10) {
		for (const factor of [1, 2, 4, 8]) {
			if (factor * power >= Math.max(most, least)) return factor * power;
		}
	}
}

// Plot is a figure with a caption, which tells in words what the picture shows, and the picture.
export class Plot {
	// series are {name, className, value(sample)}; write makes text of a value; least is the lowest top of the scale.
	constructor(figure, {title, series, text, least}) {
		Object.assign(this, {title, series, text, least, samples: [], pointed: null});
		this.svg = shape('svg', {role: 'img', height});
		this.caption = make('figcaption');
		this.caption.append(make('h2', '', title), ...series.map(s => {
			const key = make('span', `key ${s.className}`);
			key.append(make('span', 'swatch'), make('span', 'name', s.name), make('b'));
			return key;
		}), make('span', 'at'));
		figure.append(this.caption, this.svg);
		new ResizeObserver(() => this.draw()).observe(figure);
		this.svg.addEventListener('pointermove', event => this.point(event.offsetX));
		this.svg.addEventListener('pointerleave', () => this.point(null));
	}

	show(samples, step) {
		this.samples = samples.map(s => ({...s, at: Date.parse(s.time)}));
		this.gap = 3 * step * 1000;
		this.draw();
	}

	point(x) {
		this.pointed = x;
		this.draw();
	}

	draw() {
		const width = this.svg.clientWidth;
		if (!width) return;
		const last = this.samples.at(-1)?.at ?? Date.now();
		const most = Math.max(0, ...this.samples.flatMap(s => this.series.map(({value}) => value(s))));
		const top = ceiling(most, this.least);
		this.x = at => margin.left + (width - margin.left - margin.right) * (1 - (last - at) / period);
		this.y = value => height - margin.bottom - (height - margin.top - margin.bottom) * value / top;
		this.svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
		this.svg.replaceChildren(...this.scale(width, top), ...this.curves(), ...this.cross());
		this.say(most);
	}

	// scale draws both axes with their labels.
	scale(width, top) {
		const shapes = [];
		for (let i = 0; i <= lines; i++) {
			const value = top * i / lines, y = this.y(value);
			shapes.push(shape('line', {class: i ? 'grid' : 'axis', x1: margin.left, x2: width - margin.right, y1: y, y2: y}));
			if (i % 2 === 0) shapes.push(shape('text', {x: margin.left - 8, y: y + 4, 'text-anchor': 'end'}, this.text(value).replace(/\.0+ /, ' ')));
		}
		const now = this.samples.at(-1)?.at ?? Date.now();
		for (const minutes of [15, 10, 5, 0]) {
			const x = this.x(now - minutes * 60000);
			shapes.push(shape('line', {class: 'axis', x1: x, x2: x, y1: height - margin.bottom, y2: height - margin.bottom + 4}));
			shapes.push(shape('text', {x, y: height - 5, 'text-anchor': minutes === 0 ? 'end' : minutes === 15 ? 'start' : 'middle'},
				minutes ? `−${minutes} min` : 'now'));
		}
		return shapes;
	}

	// curves draws the series; where samples are missing, so is the line.
	curves() {
		const seen = this.samples.filter(s => this.x(s.at) >= margin.left - 1);
		return this.series.flatMap(({className, value}) => {
			let line = '', area = '', before = null;
			const floor = this.y(0);
			for (const s of seen) {
				const at = `${this.x(s.at).toFixed(1)}`, point = `${at} ${this.y(value(s)).toFixed(1)}`;
				if (before && s.at - before.at <= this.gap) {
					line += `L${point}`;
					area += `L${point}`;
				} else {
					if (before) area += `V${floor}Z`;
					line += `M${point}`;
					area += `M${at} ${floor}L${point}`;
				}
				before = s;
			}
			if (!before) return [];
			return [shape('path', {class: `area ${className}`, d: `${area}V${floor}Z`}), shape('path', {class: `line ${className}`, d: line})];
		});
	}

	// nearest is the sample that the pointer is at.
	nearest() {
		if (this.pointed === null || !this.samples.length) return null;
		const distance = s => Math.abs(this.x(s.at) - this.pointed);
		return this.samples.reduce((a, b) => distance(b) < distance(a) ? b : a);
	}

	cross() {
		const sample = this.nearest();
		if (!sample) return [];
		const x = this.x(sample.at);
		return [shape('line', {class: 'cross', x1: x, x2: x, y1: margin.top, y2: height - margin.bottom}),
			...this.series.map(s => shape('circle', {class: s.className, cx: x, cy: this.y(s.value(sample)), r: 3}))];
	}

	// say writes the caption and what a screen reader says of the picture.
	say(most) {
		const pointed = this.nearest(), sample = pointed ?? this.samples.at(-1);
		const keys = this.caption.querySelectorAll('.key b');
		this.series.forEach((s, i) => write(keys[i], sample ? this.text(s.value(sample)) : '–'));
		write(this.caption.querySelector('.at'), pointed ? `at ${clock(pointed.at)}` : `peak ${this.text(most)}`);
		const words = this.series.map(({name, value}) => {
			if (!this.samples.length) return `${name}: no samples yet`;
			const values = this.samples.map(value);
			const mean = values.reduce((a, b) => a + b, 0) / values.length;
			return `${name}: now ${this.text(values.at(-1))}, lowest ${this.text(Math.min(...values))}, ` +
				`highest ${this.text(Math.max(...values))}, mean ${this.text(mean)}`;
		});
		this.svg.setAttribute('aria-label', `${this.title} over the last 15 minutes. ${words.join('. ')}.`);
	}
}
