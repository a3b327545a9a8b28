package configs

import "time"

// Defaults is the configuration before a file is read: every key that has a default has it. What has none stays empty
// and must be stated: the interfaces and the rules (for those see [DefaultRule]).
func Defaults() Config {
	return Config{
		DataPorts: PortRange{First: 50000, Last: 51999},
		Firewall: Firewall{
			Backend:        BackendAuto,
			IPTables:       IPTablesAuto,
			PinholeTimeout: 60 * time.Second,
		},
		ListenPort: 2121,
		Status:     Status{Listen: "127.0.0.1:9121"},
		Log:        Log{Level: LevelInfo, Format: FormatJSON},
	}
}

// DefaultRule is a rule of the given direction that states nothing more: it restricts nothing. A rule that restricts
// something and does not state tls.client gets [TLSRefuse] (see [Rule.Restricted]).
func DefaultRule(direction Direction) Rule {
	return Rule{
		Direction: direction,
		Clients:   AnyNetwork(),
		Servers:   AnyNetwork(),
		Ports:     []uint16{21},
		// Outbound the server knows the router's address alone; inbound its own log and access rules want the client's.
		PreserveClientAddress: direction == Inbound,
		Data: Data{
			Modes:          Modes{Active: true, Passive: true},
			ForeignAddress: ForeignRefuse,
			Path:           PathAuto,
		},
		TLS:      TLS{Client: TLSPassthrough},
		Commands: Commands{Preset: PresetFull},
		Limits:   Limits{Sessions: 1000, SessionsPerClient: 50, LoginFailures: 5},
		Timeouts: Timeouts{
			Login:    120 * time.Second,
			Idle:     15 * time.Minute,
			Connect:  15 * time.Second,
			DataIdle: 15 * time.Minute,
		},
	}
}
