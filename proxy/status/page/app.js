// The dashboard asks the endpoints beside it again and again, and shows what they say.

import {classes, find, show, write} from './dom.js';
import {clock, number, often, rate} from './format.js';
import * as host from './host.js';
import * as lists from './lists.js';
import {Plot} from './plot.js';
import {Rates} from './rates.js';

const often2s = 2000, often5s = 5000; // ms between answers
const patience = 10_000;              // ms for an answer
const pageSize = 1000;                // sessions in an answer, the most that the endpoint gives
const mostPages = 20;                 // answers for one look at the sessions
const rest = 4;                       // a look that takes long is followed by a rest of so many times that long

const seconds = () => performance.now() / 1000;
const rates = new Rates();
const latest = {status: null, sessions: [], total: 0, pinholes: [], failures: [], transfers: []};
let query = '';

const whole = n => number(Math.round(n * 10) / 10);
const plots = [
	new Plot(find('#plot-bytes'), {title: 'Throughput', text: rate, least: 1000,
		series: [{name: 'data', className: 'one', value: s => s.bytes_per_second}]}),
	new Plot(find('#plot-sessions'), {title: 'Sessions', text: whole, least: 4, series: [
		{name: 'sessions', className: 'one', value: s => s.sessions},
		{name: 'pinholes', className: 'two', value: s => s.pinholes}]}),
	new Plot(find('#plot-files'), {title: 'Transfers', text: often, least: 1, series: [
		{name: 'transfers', className: 'one', value: s => s.transfers_per_second},
		{name: 'failures', className: 'three', value: s => s.failures_per_second}]}),
];

async function get(path) {
	const response = await fetch(path, {cache: 'no-store', signal: AbortSignal.timeout(patience)});
	if (!response.ok) {
		throw Object.assign(new Error(`${response.status} ${response.statusText}`.trim()), {status: response.status});
	}
	return response.json();
}

// readSessions goes through the pages of /api/v1/sessions.
async function readSessions() {
	const list = [];
	let answer = {next: 0};
	for (let page = 0; page < mostPages; page++) {
		answer = await get(`api/v1/sessions?limit=${pageSize}&after=${answer.next}`);
		list.push(...answer.sessions ?? []);
		if (!answer.next) break;
	}
	return {list, total: Math.max(answer.total, list.length)};
}

const sources = [
	{name: 'status', every: often2s, read: () => get('api/v1/status'), take: status => {
		latest.status = {...status, at: seconds()};
		host.host(status);
		showFailures();
		tick();
	}},
	{name: 'sessions', every: often2s, read: readSessions, take: ({list, total}) => {
		rates.take(list, seconds());
		Object.assign(latest, {sessions: list, total});
		const running = list.filter(s => s.transfer);
		host.tile('running', number(running.length), rate(running.reduce((sum, s) => sum + rates.of(s), 0)));
		showSessions();
	}},
	{name: 'pinholes', every: often2s, read: () => get('api/v1/pinholes'), take: ({pinholes}) => {
		const at = seconds();
		latest.pinholes = (pinholes ?? []).map(h => ({...h, end: at + h.expires_in_seconds}));
		showPinholes();
	}},
	{name: 'failures', every: often2s, read: () => get('api/v1/transfers?failed=true&limit=200'), take: ({transfers}) => {
		latest.failures = transfers ?? [];
		showFailures();
	}},
	{name: 'transfers', every: often2s, read: () => get('api/v1/transfers?limit=200'), take: ({transfers}) => {
		latest.transfers = transfers ?? [];
		showTransfers();
	}},
	{name: 'history', every: often5s, read: () => get('api/v1/history'), take: history => {
		const samples = history.samples ?? [];
		host.past({...history, samples});
		for (const plot of plots) plot.show(samples, history.step_seconds);
	}},
];

const showSessions = () => lists.sessions({list: latest.sessions, total: latest.total, rates, query});
const showPinholes = () => lists.pinholes({list: latest.pinholes, left: h => h.end - seconds(), query});
const showFailures = () => lists.failures({list: latest.failures, turnedAway: latest.status?.turned_away ?? [], query});
const showTransfers = () => lists.transfers({list: latest.transfers, query});

// tick moves what moves between two answers.
function tick() {
	if (stopped() || silent) return;
	if (latest.status) host.uptime(latest.status.uptime_seconds + seconds() - latest.status.at);
	showPinholes();
}

let paused = false;
let silent = false; // the daemon does not answer
let answered = null; // when it last did
const stopped = () => paused || document.hidden;

// turn asks one source, and again after a while; hidden and paused pages ask nobody.
async function turn(source) {
	if (source.busy || stopped()) return;
	source.busy = true;
	clearTimeout(source.timer);
	const began = performance.now();
	let answer = null;
	try {
		answer = await source.read();
		source.error = source.failing = null;
		source.answered = performance.now();
		answered = new Date();
	} catch (error) {
		source.error = error;
		source.failing ??= performance.now();
	}
	source.busy = false;
	const pause = source.error ? 0 : rest * (performance.now() - began);
	source.timer = setTimeout(turn, Math.max(source.every, pause), source);
	try {
		if (answer) source.take(answer);
	} finally {
		tell();
	}
}

// trouble says what keeps the page from being up to date; '': nothing.
function trouble() {
	const failing = sources.filter(s => s.error);
	if (!failing.length) return '';
	if (silent) {
		const since = answered ? `since ${clock(answered)}. What is shown here is from then` : 'yet';
		return `ftpgate does not answer ${since}. The page keeps asking.`;
	}
	const status = failing.find(s => [401, 403].includes(s.error.status))?.error.status;
	if (status) {
		return `ftpgate does not let this browser in (${status}). Open the page once with the token of the configuration: /?token=…`;
	}
	return `ftpgate answers, but not on ${failing.map(s => `${s.name} (${s.error.status ? s.error.message : 'silence'})`).join(', ')}.`;
}

// tell shows the trouble; a screen reader hears it when it begins. The daemon is silent if one source is and status, the
// one that costs it least, has not answered since.
function tell() {
	const [first] = sources;
	silent = sources.some(s => s.error && !s.error.status && !(first.answered > s.failing));
	const text = trouble(), notice = find('#notice');
	show(notice, text !== '');
	// An outage is announced once: the time in its text would change with each answer of another source.
	if (!silent || notice.dataset.silent !== 'yes') write(notice, text);
	notice.dataset.silent = silent ? 'yes' : 'no';
	classes(document.body, silent ? 'stale' : '');
	const {status} = latest;
	host.head(status, silent);
	document.title = silent ? 'No answer – ftpgate' : status && !status.ready ? 'Not ready – ftpgate' : 'ftpgate';
	if (answered) write(find('#asked'), `Last answer at ${clock(answered)}.`);
}

const resume = () => sources.forEach(turn);

find('#filter').addEventListener('input', event => {
	query = event.target.value.trim();
	showSessions();
	showFailures();
	showPinholes();
	showTransfers();
	write(find('#filter-said'), query ? `Sessions: ${find('#sessions-note').textContent}` : 'All are shown');
});

find('#pause').addEventListener('click', event => {
	paused = !paused;
	event.currentTarget.setAttribute('aria-pressed', paused);
	classes(document.documentElement, paused ? 'paused' : '');
	resume();
});

document.addEventListener('visibilitychange', resume);
setInterval(tick, 1000);

// The token has become a cookie; it need not stay where others can read it.
if (new URLSearchParams(location.search).has('token')) history.replaceState(null, '', location.pathname + location.hash);

resume();
