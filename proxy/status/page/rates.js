// Rates tells how fast running transfers are, from the bytes that successive answers report of the same one.
//
// The gateway asks the kernel for a connection's counters now and then only, so bytes may stand still for several
// answers while data flows: a rate is that between the last two changes, until a change is overdue.

const longestPause = 35; // s; longer than the gateway lets a connection go unasked

export class Rates {
	known = new Map();

	// take learns from an answer that came at a moment, in seconds of any clock that only goes forward.
	take(sessions, now) {
		const known = new Map();
		for (const {id, transfer} of sessions) {
			if (transfer) {
				const key = `${id} ${transfer.time}`;
				known.set(key, step(this.known.get(key), transfer, now));
			}
		}
		this.known = known;
	}

	// of returns the rate of a session's running transfer, in bytes per second.
	of({id, transfer}) {
		return this.known.get(`${id} ${transfer.time}`)?.rate ?? 0;
	}
}

function step(old, {bytes, duration_seconds: duration}, now) {
	if (!old) return {bytes, at: now, pause: longestPause, rate: duration > 0 ? bytes / duration : 0};
	const since = now - old.at;
	if (bytes !== old.bytes && since > 0) {
		return {bytes, at: now, pause: Math.min(longestPause, 2 * since + 1), rate: Math.max(0, bytes - old.bytes) / since};
	}
	return since > old.pause ? {...old, rate: 0} : old;
}
