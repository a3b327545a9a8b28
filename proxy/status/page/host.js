// What the page says of the daemon and its host: the head, the tiles, what needs attention, interfaces, rules, health.

import {classes, find, keep, make, show, table, write} from './dom.js';
import {bytes, clock, number, plural, rate, span} from './format.js';
import {facts} from './lists.js';

// head shows version, backend and readiness; s is null before the first answer, and old while the daemon is silent.
export function head(s, silent) {
	const ready = find('#ready');
	write(ready, silent ? 'No answer' : !s ? 'asking' : s.ready ? 'Ready' : 'Not ready');
	classes(ready, silent || (s && !s.ready) ? 'pill bad' : s ? 'pill good' : 'pill');
	if (!s) return;
	write(find('#version'), s.version);
	write(find('#backend'), s.backend);
}

// attention lists what an administrator should know, the worst first.
function attention(s) {
	const list = [];
	const add = (tone, title, text) => list.push({tone, title, text});
	if (!s.ready) add('bad', 'Not ready', s.not_ready || 'no reason given');
	if (s.last_error) add('bad', 'Last error', s.last_error);
	if (s.reload_error) add('bad', 'Reload failed, the former configuration is in force', s.reload_error);
	if (s.audit.error) add('bad', `Audit: ${plural(s.audit.lost, 'record')} lost`, s.audit.error);
	if (s.ports.refused) {
		add('warn', 'Ports', `No port of data_ports was free ${plural(s.ports.refused, 'time')}: enlarge the range, or look who holds so many.`);
	}
	for (const text of s.warnings ?? []) add('warn', 'Warning', text);
	return list;
}

function problems(s) {
	const list = attention(s), ul = find('#problems');
	show(ul, list.length > 0);
	keep(ul, list, p => `${p.title} ${p.text}`, p => {
		const item = make('li', p.tone);
		item.append(make('strong', '', p.title), make('span', '', p.text));
		return item;
	}, () => {});
}

const interfaceColumns = [
	{label: 'Name', value: i => ({first: i.name, className: 'name'})},
	{label: 'Side', value: i => ({first: i.side})},
	{label: 'State', value: i => !i.present ? {mark: 'absent', tone: 'bad'} : i.up ? {mark: 'up', tone: 'good'} : {mark: 'down', tone: 'bad'}},
	{label: 'Addresses', value: i => ({first: (i.addresses ?? []).join(', ') || 'none', className: i.addresses?.length ? '' : 'quiet'})},
];

const ruleColumns = [
	{label: 'Rule', value: r => ({first: r.name, className: 'name', second: r.direction})},
	{label: 'Ports', value: r => ({first: (r.ports ?? []).join(', ')})},
	{label: 'Sessions', number: true, value: r => ({first: `${number(r.sessions)} of ${number(r.limit_sessions)}`, second: `${number(r.sessions_begun)} begun`})},
	{label: 'Transfers', number: true, value: r => ({first: number(r.transfers_done), second: `${number(r.transfers_failed)} failed`})},
	{label: 'Carried', number: true, value: r => ({first: bytes(r.bytes)})},
];

// host shows what the answer of /api/v1/status says beside the head.
export function host(s) {
	problems(s);
	table(find('#interfaces'), interfaceColumns, s.interfaces ?? [], i => i.name);
	table(find('#rules'), ruleColumns, s.rules ?? [], r => r.name);
	facts(find('#health'), [
		['Repairs', s.repairs ? `${plural(s.repairs, 'time')} something removed rules of ftpgate and they were put back` : 'none were needed'],
		['Last error', s.last_error || 'none'],
		['Warnings', s.warnings?.length ? `${number(s.warnings.length)}, above` : 'none'],
		['Backend', `${s.backend}: ${s.backend_why}`],
		['Pinholes', `${number(s.pinholes.opened)} opened, ${number(s.pinholes.used)} used, ${number(s.pinholes.expired)} expired, ${number(s.pinholes.released)} given up, ${number(s.pinholes.failed)} failed`],
		['Ports', `${number(s.ports.lent)} of ${number(s.ports.size)} lent, ${number(s.ports.resting)} resting, ${number(s.ports.refused)} refused`],
		['Reloads', `${number(s.reloads)}, ${number(s.failed_reloads)} failed${s.reloaded ? `; the last at ${clock(s.reloaded)}` : ''}`],
		['Audit', `${plural(s.audit.written, 'record')} written, ${number(s.audit.lost)} lost`],
		['Started', clock(s.began)],
	]);
	tile('sessions', number(s.sessions), `of ${number((s.rules ?? []).reduce((sum, r) => sum + r.limit_sessions, 0))} allowed`);
	tile('holes', number(s.pinholes.open), `${number(s.pinholes.opened)} opened so far`);
	tile('ports', number(s.ports.lent), `of ${number(s.ports.size)}, ${number(s.ports.resting)} resting`);
}

// tile shows one number and what to compare it with.
export function tile(name, value, more) {
	write(find(`#tile-${name}`), value);
	write(find(`#tile-${name}-more`), more);
}

// past shows the tiles that the history fills.
export function past({samples, step_seconds: step}) {
	const peak = Math.max(0, ...samples.map(s => s.bytes_per_second));
	const sum = value => Math.round(samples.reduce((all, s) => all + value(s) * step, 0));
	tile('bytes', rate(samples.at(-1)?.bytes_per_second), `peak ${rate(peak)}`);
	const failed = sum(s => s.failures_per_second);
	tile('failures', number(failed), `beside ${plural(sum(s => s.transfers_per_second), 'transfer')}`);
	classes(find('#tile-failures'), failed ? 'bad' : '');
}

export function uptime(seconds) {
	write(find('#uptime'), span(seconds));
}
