package ftp

// Bytes of the Telnet protocol (RFC 854).
const (
	telnetSE   = 240
	telnetDM   = 242 // the data mark of SYNCH
	telnetSB   = 250
	telnetWILL = 251
	telnetWONT = 252
	telnetDO   = 253
	telnetDONT = 254
	telnetIAC  = 255
)

type telnetState uint8

const (
	telnetData telnetState = iota
	telnetCommand
	telnetOption
	telnetSub
	telnetSubCommand
)

// telnetAction is what becomes of a byte.
type telnetAction uint8

const (
	telnetDrop   telnetAction = iota
	telnetKeep                // the byte is data
	telnetDouble              // the byte is data, and goes on doubled
	telnetRefuse              // the byte is an option to refuse
)

// telnet takes the Telnet commands out of a byte stream, one byte at a time, so that it cannot depend on how the
// stream was cut into reads. All that it keeps is bounded. RFC 6384 §5 has a gateway refuse options itself.
type telnet struct {
	state   telnetState
	verb    byte // WILL, WONT, DO or DONT
	sub     int  // bytes of the subnegotiation so far
	removed int  // commands taken out of this line
	answers int  // options refused on this connection
}

// next says what becomes of b.
func (t *telnet) next(b byte) (telnetAction, error) {
	switch t.state {
	case telnetCommand:
		return t.command(b)
	case telnetOption:
		t.state = telnetData
		if t.verb == telnetWONT || t.verb == telnetDONT {
			return telnetDrop, nil // an answer would be answered
		}
		if t.answers++; t.answers > MaxTelnetAnswers {
			return telnetDrop, errTelnetFlood
		}
		return telnetRefuse, nil
	case telnetSub, telnetSubCommand:
		return telnetDrop, t.subnegotiation(b)
	}
	if b == telnetIAC {
		t.state = telnetCommand
		return telnetDrop, nil
	}
	return telnetKeep, nil
}

// command takes the byte behind IAC.
func (t *telnet) command(b byte) (telnetAction, error) {
	t.state = telnetData
	if b == telnetIAC {
		return telnetDouble, nil
	}
	if t.removed++; t.removed > maxTelnetRemoved {
		return telnetDrop, errTelnetFlood
	}
	switch {
	case b < telnetSE:
		// Not a command: the urgent byte between was lost on the way, as happens to the ABOR of lftp and BSD ftp.
		return telnetKeep, nil
	case b == telnetSB:
		t.state, t.sub = telnetSub, 0
	case b >= telnetWILL:
		t.state, t.verb = telnetOption, b
	}
	return telnetDrop, nil
}

// subnegotiation takes a byte between IAC SB and IAC SE.
func (t *telnet) subnegotiation(b byte) error {
	if t.sub++; t.sub > maxSubnegotiation {
		return errSubnegotiation
	}
	switch {
	case t.state == telnetSubCommand && b == telnetSE:
		t.state = telnetData
	case t.state == telnetSub && b == telnetIAC:
		t.state = telnetSubCommand
	default:
		t.state = telnetSub
	}
	return nil
}

// refusal returns the answer to the option b: WILL is answered DONT, DO is answered WONT.
func (t *telnet) refusal(b byte) [3]byte {
	if t.verb == telnetWILL {
		return [3]byte{telnetIAC, telnetDONT, b}
	}
	return [3]byte{telnetIAC, telnetWONT, b}
}
