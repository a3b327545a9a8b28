package iptables

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ftpgate/ftpgate/firewall"
)

// ErrKernel is wrapped when the kernel lacks something that our rules need.
var ErrKernel = errors.New("the kernel lacks what our rules need")

// chainProbe is where single extensions are tried; no packet comes by.
const chainProbe = prefix + "PROBE"

// extensions are what our rules need, each in the smallest rule that uses it.
var extensions = [...]struct{ name, module, table, rule string }{
	{"match comment", "xt_comment", "nat", "-m comment --comment ftpgate"},
	{"match mark", "xt_mark", "nat", "-m mark --mark 1"},
	{"match connmark", "xt_connmark", "nat", "-m connmark --mark 1"},
	{"match time", "xt_time", "nat", "-m time --datestop 2030-01-01T00:00:00"},
	{"match hashlimit", "xt_hashlimit", "nat", "-m hashlimit --hashlimit-upto 1/day --hashlimit-burst 1 --hashlimit-name ftpgate-probe"},
	{"target CONNMARK", "xt_connmark", "nat", "-j CONNMARK --set-mark 1"},
	{"target MARK", "xt_mark", "nat", "-j MARK --set-mark 1"},
	{"target DNAT", "xt_nat", "nat", "-p tcp -j DNAT --to-destination :1024"},
	{"match conntrack", "xt_conntrack", "filter", "-m conntrack --ctstate ESTABLISHED"},
	{"match multiport", "xt_multiport", "filter", "-p tcp -m multiport --sports 21"},
	{"match addrtype", "xt_addrtype", "mangle", "-m addrtype --dst-type LOCAL"},
	{"match socket", "xt_socket", "mangle", "-p tcp -m socket --transparent"},
	{"target MARK", "xt_mark", "mangle", "-j MARK --set-mark 1"},
	{"target TCPMSS", "xt_TCPMSS", "mangle", "-p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"},
	{"target TPROXY", "xt_TPROXY", "mangle", "-p tcp -j TPROXY --on-port 1024"},
}

// diagnose finds out whether err comes from something the kernel lacks, and says what. Rules failed, so a few programs
// more do not matter.
func (f *family) diagnose(err error) error {
	if errors.Is(err, firewall.ErrUnavailable) || errors.Is(err, ErrNoProgram) {
		return err
	}
	var lacking []string
	for _, x := range extensions {
		s := newScript(x.table)
		s.clear(chainProbe)
		s.line("-A", chainProbe, fields(x.rule))
		if f.tools.commit(s.String()) != nil {
			lacking = append(lacking, fmt.Sprintf("%s (module %s)", x.name, x.module))
		}
	}
	for _, table := range removal {
		s := newScript(table)
		s.clear(chainProbe)
		s.line("-X", chainProbe, nil)
		err = errors.Join(err, f.tools.commit(s.String()))
	}
	if len(lacking) == 0 || len(lacking) == len(extensions) {
		return err // not a matter of single extensions
	}
	return fmt.Errorf("%w: %s: %w", ErrKernel, strings.Join(lacking, ", "), err)
}
