// The lists of the page: sessions, failures, pinholes, transfers.

import {find, keep, make, show, table, write, classes} from './dom.js';
import {bytes, cause, clock, lasted, number, plural, rate, span} from './format.js';

const mostSessions = 100;  // rows, as of the other limits
const mostFailures = 30;
const mostPinholes = 50;
const mostTransfers = 40;

// seek returns those of items that have each word of a query in one of their texts.
export function seek(items, query, texts) {
	const words = query.toLowerCase().split(/\s+/).filter(Boolean);
	if (!words.length) return items;
	return items.filter(item => {
		const text = texts(item).join(' ').toLowerCase();
		return words.every(word => text.includes(word));
	});
}

// note says how many of how many a list shows, and what to say of an empty one.
function note(section, {shown, found, all, query, none}) {
	const parts = [];
	if (query) parts.push(`${number(found)} of ${number(all)} match`);
	else if (all) parts.push(number(all));
	if (shown < found) parts.push(`the first ${number(shown)} are shown, filter for others`);
	write(find(`#${section}-note`), parts.join(' · '));
	const empty = find(`#${section} .empty`);
	write(empty, query && all ? 'Nothing matches the filter.' : none);
	show(empty, found === 0);
	const head = find(`#${section} thead`);
	if (head) show(head, found !== 0);
}

const what = t => t.what ?? [t.verb, t.path].filter(Boolean).join(' ');
const transferTexts = t => [t.user, t.client, t.server, t.rule, t.direction ?? '', what(t), t.kind ?? '', t.mode ?? '', t.result,
	t.reply ?? '', cause(t), t.diagnosis ?? ''];
const transferKey = t => `${t.session} ${t.time} ${t.verb} ${t.result}`;

function transferCell(s, rates) {
	const t = s.transfer;
	if (t && s.pinhole) return {first: what(t), className: 'path', second: `waits for its data connection · ${s.pinhole}`};
	if (t?.diagnosis) return {first: what(t), className: 'path', mark: cause(t), tone: 'warn', second: t.diagnosis};
	if (t) {
		return {first: what(t), className: 'path', second: `${bytes(t.bytes)} · ${rate(rates.of(s))} · ${t.kind}, ${t.mode}`};
	}
	if (s.pinhole) return {first: 'waits for its data connection', second: s.pinhole};
	return {first: 'none', className: 'quiet'};
}

const sessionColumns = rates => [
	{label: 'User', value: s => ({
		first: s.user || 'no user yet', className: s.user ? 'name' : 'quiet', mark: s.tls ? 'TLS' : s.user && !s.logged_in ? 'logging in' : '',
		tone: 'plain', second: `${s.rule} · ${s.direction} · #${s.id}`,
	})},
	{label: 'Client’s leg', value: s => ({first: s.client, second: `→ ${s.dialled} · ${s.client_interface}`})},
	{label: 'Server’s leg', value: s => s.seen_as
		? {first: s.seen_as, second: `→ ${s.server}${s.server_interface ? ` · ${s.server_interface}` : ''}`}
		: {first: 'not connected yet', className: 'quiet', second: `→ ${s.server}`}},
	{label: 'Transfer', value: s => transferCell(s, rates)},
	{label: 'Carried', number: true, value: s => ({
		first: bytes(s.bytes), second: `${plural(s.transfers, 'transfer')}${s.failed ? `, ${number(s.failed)} failed` : ''}`,
	})},
	{label: 'Idle', number: true, value: s => ({first: span(s.idle_seconds), second: `since ${clock(s.began)}`})},
];

// sessions shows the sessions; total is how many the gateway has.
export function sessions({list, total, rates, query}) {
	const found = seek(list, query, s => [s.user, s.client, s.dialled, s.seen_as ?? '', s.server, s.client_interface,
		s.server_interface ?? '', s.rule, s.direction, `#${s.id}`, s.tls ? 'tls' : '', s.pinhole ?? '',
		s.transfer ? what(s.transfer) : '']);
	found.sort((a, b) => Boolean(b.transfer) - Boolean(a.transfer) || a.id - b.id);
	const rows = found.slice(0, mostSessions);
	table(find('#sessions tbody'), sessionColumns(rates), rows, s => s.id);
	note('sessions', {shown: rows.length, found: found.length, all: query ? list.length : total, query, none: 'No sessions.'});
}

function pinholeColumns(left) {
	const port = h => h.source_port ? `port ${h.source_port} only` : 'any port';
	return [
		{label: 'State', value: h => h.state === 'used'
			? {mark: 'used', tone: 'plain', second: 'its connection came; it admits nobody any more'}
			: {mark: h.cause ? cause(h) : 'waiting', tone: h.cause ? 'warn' : 'plain', second: h.diagnosis ?? ''}},
		{label: 'From', value: h => ({first: h.source, second: `${port(h)} · ${h.interface}`})},
		{label: 'To', value: h => ({first: h.destination})},
		{label: 'Led to', value: h => h.target ? {first: h.target} : {first: 'as dialled', className: 'quiet'}},
		{label: 'Seen there as', value: h => h.source_as ? {first: h.source_as} : {first: 'itself', className: 'quiet'}},
		{label: 'Session', number: true, value: h => ({first: `#${h.session}`})},
		{label: 'Closes in', number: true, value: h => h.state === 'used' ? {first: 'now', className: 'quiet'} : {first: span(left(h))}},
	];
}

// pinholes shows the pinholes; left(h) is how many seconds one has from now on.
export function pinholes({list, left, query}) {
	const found = seek(list.filter(h => h.state === 'used' || left(h) > 0), query, h => [h.source, h.destination, h.target ?? '',
		h.source_as ?? '', h.interface, `#${h.session}`, h.state, cause(h), h.diagnosis ?? '']);
	const rows = found.slice(0, mostPinholes);
	table(find('#pinholes tbody'), pinholeColumns(left), rows, h => h.id);
	note('pinholes', {shown: rows.length, found: found.length, all: list.length, query, none: 'None is open at the moment.'});
}

const tones = {done: 'good', running: 'plain', left_running: 'plain', failed: 'bad', refused: 'bad', unused: 'bad'};
const transferColumns = [
	{label: 'Time', value: t => ({first: clock(t.time), second: `took ${lasted(t.duration_seconds)}`})},
	{label: 'User', value: t => ({first: t.user || 'no user', className: t.user ? 'name' : 'quiet', second: `${t.rule} · #${t.session}`})},
	{label: 'What', value: t => ({first: what(t), className: 'path', second: `${t.kind}, ${t.mode}`})},
	{label: 'Client, server', value: t => ({first: t.client, second: `→ ${t.server}`})},
	{label: 'Carried', number: true, value: t => ({
		first: bytes(t.bytes), second: t.duration_seconds > 0 && t.bytes ? rate(t.bytes / t.duration_seconds) : '',
	})},
	{label: 'Result', value: t => ({mark: t.result, tone: tones[t.result] ?? 'plain', second: t.reply ?? ''})},
];

export function transfers({list, query}) {
	const found = seek(list, query, transferTexts);
	const rows = found.slice(0, mostTransfers);
	table(find('#transfers tbody'), transferColumns, rows, transferKey);
	note('transfers', {shown: rows.length, found: found.length, all: list.length, query, none: 'No transfer yet.'});
}

// away is what the list of failures shows of connections that got no session.
const away = r => ({
	away: true, time: r.last, first: r.first, count: r.count, what: `connection to ${r.dialled}`, cause: r.reason, user: '', client: r.client, server: r.dialled,
	rule: r.rule ?? '', result: 'refused', reply: r.reply, diagnosis: r.diagnosis,
});
const failureKey = t => t.away ? `away ${t.client} ${t.rule} ${t.cause}` : transferKey(t);

// failures shows what did not happen and why; the evidence unfolds. Connections that got no session are among them.
export function failures({list: transfers, turnedAway, query}) {
	const list = [...transfers, ...turnedAway.map(away)].sort((a, b) => new Date(b.time) - new Date(a.time));
	const found = seek(list, query, transferTexts);
	const rows = found.slice(0, mostFailures);
	keep(find('#failures ul'), rows, failureKey, failure, fillFailure);
	note('failures', {shown: rows.length, found: found.length, all: list.length, query, none: 'No failure since the start.'});
}

function failure() {
	const item = make('li'), details = make('details'), summary = make('summary'), more = make('div', 'more');
	const head = make('span', 'head');
	head.append(make('span', 'when'), make('span', 'what path'), make('span', 'mark bad'), make('span', 'who'));
	summary.append(head, make('span', 'why'));
	more.append(make('h3', '', 'Evidence'), make('ul', 'evidence'), make('dl', 'list'));
	details.append(summary, more);
	item.append(details);
	return item;
}

function fillFailure(item, t) {
	const part = name => item.querySelector(name);
	write(part('.when'), clock(t.time));
	write(part('.what'), what(t) || 'no transfer');
	write(part('.mark'), cause(t));
	classes(part('.mark'), t.result === 'unused' ? 'mark warn' : 'mark bad');
	write(part('.who'), t.away ? `${t.client} · ${plural(t.count, 'time')}` : `${t.user || 'no user'} · ${t.client} → ${t.server}`);
	write(part('.why'), t.diagnosis || t.reply || `The transfer was ${t.result}.`);
	const evidence = t.evidence ?? [];
	show(part('h3'), evidence.length > 0);
	keep(part('.evidence'), evidence.map((text, i) => ({i, text})), e => e.i, () => make('li'), (li, e) => write(li, e.text));
	facts(part('dl'), t.away ? [
		['Rule', t.rule || 'none'], ['Times', number(t.count)], ['First', clock(t.first)], ['Last', clock(t.time)], ['Answered', t.reply],
	] : [
		['Rule', `${t.rule} (${t.direction})`], ['Session', `#${t.session}`], ['Kind', `${t.kind}, ${t.mode}`],
		['Result', t.result], ['Took', lasted(t.duration_seconds)], ['Carried', bytes(t.bytes)], ['Last reply', t.reply || 'none'],
	]);
}

// facts keeps a list of names and values.
export function facts(dl, pairs) {
	keep(dl, pairs, ([name]) => name, ([name]) => {
		const pair = make('div');
		pair.append(make('dt', '', name), make('dd'));
		return pair;
	}, (pair, [, value]) => write(pair.lastElementChild, value));
}
