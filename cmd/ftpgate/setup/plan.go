package setup

import (
	"fmt"
	"net/netip"
	"strings"
)

// Plan is what the configuration is to do.
type Plan struct {
	Sides
	Outbound bool             // LAN clients reach servers outside
	Publish  []netip.AddrPort // a server on the LAN, at most one address of each family
	Router   bool             // this host is to be the LAN's router as well
	Note     string           // of PublicNote; "": nothing to say
}

// Config writes the configuration, with a comment for each thing that an
// administrator may want to change.
func (p Plan) Config() string {
	var b strings.Builder
	b.WriteString(`# Made by ftpgate setup. All keys with their defaults: ftpgate check --print,
# and ftpgate.yaml(5). ftpgate doctor looks at what on this host is in the way.

`)
	fmt.Fprintf(&b, "interfaces:\n  lan: [%s]   # trusted side\n  wan: [%s]   # Internet side\n\n", strings.Join(p.LAN, ", "), strings.Join(p.WAN, ", "))
	if p.Note != "" {
		b.WriteString(comment(p.Note + "."))
		b.WriteString("# advertise: ftp.example.com\n\n")
	}
	if p.Router {
		b.WriteString(`# This host is the LAN's router: IP forwarding is on while ftpgate runs, and the
# LAN's addresses are translated. Nothing comes in from outside but what belongs
# to a connection from inside, and the data connections of FTP.
firewall:
  forwarding: true
  masquerade: true

`)
	}
	b.WriteString("rules:\n")
	if p.Outbound {
		b.WriteString(`  # LAN clients reach FTP servers on the Internet, active and passive.
  - name: office
    direction: outbound
    # clients: [192.168.50.0/24]   # not the whole LAN
    # commands: {preset: read_only}

`)
	}
	if len(p.Publish) > 0 {
		servers := make([]string, len(p.Publish))
		for i, s := range p.Publish {
			servers[i] = fmt.Sprintf("%q", s)
		}
		fmt.Fprintf(&b, `  # Whoever dials an address of this router at port %d reaches the server on the LAN.
  - name: public
    direction: inbound
    ports: [%[1]d]
    server: [%s]
    # The server sees its clients' own addresses. It must then answer through this
    # router; where it has another gateway, write false.
    preserve_client_address: true
    # users: {allow: [anonymous]}
    # limits: {sessions_per_client: 5}

`, p.Publish[0].Port(), strings.Join(servers, ", "))
	}
	b.WriteString(`# Where to look: http://127.0.0.1:9121/ on this host, or ftpgate status.
status:
  listen: 127.0.0.1:9121
`)
	return b.String()
}

// comment breaks a text into lines.
func comment(text string) string {
	var b strings.Builder
	line := "#"
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > 80 {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
	return b.String()
}
