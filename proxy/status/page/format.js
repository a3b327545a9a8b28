// Numbers, times and words as the page writes them.

const count = new Intl.NumberFormat('en');

// number writes a count with thousands apart.
export const number = n => count.format(n ?? 0);

// plural writes a count with its noun.
export const plural = (n, one, many = one + 's') => `${number(n)} ${n === 1 ? one : many}`;

// scaled writes a number with three digits and a decimal prefix.
export function scaled(n, unit) {
	const prefixes = ['', 'k', 'M', 'G', 'T', 'P'];
	let step = 0;
	while (Math.abs(n) >= 999.5 && step < prefixes.length - 1) {
		n /= 1000;
		step++;
	}
	const digits = step === 0 || n >= 99.95 ? 0 : n >= 9.995 ? 1 : 2;
	return `${n.toFixed(digits)} ${prefixes[step]}${unit}`;
}

// bytes and rate are decimal, as network speeds are: 1 MB is 1,000,000 bytes.
export const bytes = n => scaled(n ?? 0, 'B');
export const rate = n => scaled(n ?? 0, 'B/s');

// often writes how often something happens, given times per second.
export const often = n => n === 0 ? '0 /s' : n < 10 ? `${n.toFixed(1)} /s` : `${number(Math.round(n))} /s`;

// span writes a number of seconds in its two largest units.
export function span(seconds) {
	const s = Math.max(0, Math.floor(seconds ?? 0));
	if (s < 60) return `${s} s`;
	if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
	if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
	return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

// lasted is span for what may have been quick.
export function lasted(seconds) {
	const s = seconds ?? 0;
	return s < 1 ? `${Math.round(s * 1000)} ms` : s < 10 ? `${s.toFixed(1)} s` : span(s);
}

const two = n => String(n).padStart(2, '0');

// clock writes the time of day where the reader is, with the date if it is another day's.
export function clock(time, now = new Date()) {
	const t = new Date(time);
	const day = t.toDateString() === now.toDateString() ? '' :
		`${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())} `;
	return `${day}${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}`;
}

const causes = {
	never_connected: 'never connected',
	from_elsewhere: 'from elsewhere',
	dropped: 'dropped on this host',
	unanswered: 'not answered',
	after_expiry: 'too late',
	server_refused: 'server refused',
	foreign_address: 'foreign address',
	tls: 'TLS, unreadable',
	rewritten_elsewhere: 'rewritten elsewhere',
	kernel_helper: 'kernel helper interferes',
	ports_exhausted: 'no port left',
	firewall: 'firewall failed',
	policy: 'not allowed',
	unusable_reply: 'unusable reply',
	gone: 'one side left',
	stalled: 'stalled',
	not_negotiated: 'not negotiated',
	syntax: 'unreadable PORT',
	gateway_stopped: 'gateway stopped',
	no_rule: 'no rule',
	session_limit: 'too many sessions',
	server_unreachable: 'server unreachable',
	unknown_way: 'unknown way',
};

// cause names the kind of a diagnosis in few words.
export const cause = t => causes[t.cause] ?? (t.cause || t.result || '').replaceAll('_', ' ');
