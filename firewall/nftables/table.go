package nftables

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/firewall"
)

// The parts of a table, as they are compared.
const (
	partTable = iota
	partSets
	partChains
	partRules
	parts
)

// dropTable adds the removal of our table, whoever made it; it must exist.
func (w words) dropTable(b *batch) {
	b.message(unix.NFT_MSG_DELTABLE, 0, w.family(), "removing our table")
	b.text(unix.NFTA_TABLE_NAME, tableName)
}

// create adds the whole table with the elements of all holes.
func (f *family) create(b *batch, frame firewall.Frame, w writer) {
	b.message(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, f.family(), "making our table")
	b.text(unix.NFTA_TABLE_NAME, tableName)
	b.u32(unix.NFTA_TABLE_FLAGS, 0)
	b.comment(attrTableUserdata, commentOfTable, tableComment)
	f.createSets(b, [2]int{})
	for _, s := range f.maps() {
		s.create(b, f.family(), tableName)
	}
	chains := f.static(frame)
	for _, c := range chains {
		c.create(b, f.family(), tableName)
	}
	f.fill(b, chains)
	f.refill(&w)
}

// createSets adds the sets of pinholes that are not among those there.
func (f *family) createSets(b *batch, there [2]int) {
	for i, fromPort := range []bool{false, true} {
		for layer := there[i]; layer < f.layers[i]; layer++ {
			f.gateSet(fromPort, layer).create(b, f.family(), tableName)
		}
	}
}

func (f *family) fill(b *batch, chains []chain) {
	for _, c := range chains {
		for _, r := range c.rules {
			r.add(b, place{family: f.family(), table: tableName, chain: c.name})
		}
	}
}

// refill adds the elements of all holes to sets that are empty.
func (f *family) refill(w *writer) {
	for _, h := range f.holes {
		w.add(h.element(), false)
	}
	for _, y := range f.ways {
		w.add(y.element, false)
	}
	w.finish()
}

// rewrite adds the exchange of all rules, and of the chains that one frame needs and another does not; sets, and so the
// pinholes, stay.
func (f *family) rewrite(b *batch, frame firewall.Frame) {
	b.message(unix.NFT_MSG_DELRULE, 0, f.family(), "removing our rules")
	b.text(unix.NFTA_RULE_TABLE, tableName)
	chains, there := f.static(frame), f.chainsThere()
	for _, name := range there {
		if !slices.ContainsFunc(chains, func(c chain) bool { return c.name == name }) {
			b.message(unix.NFT_MSG_DELCHAIN, 0, f.family(), "removing chain "+name)
			b.text(unix.NFTA_CHAIN_TABLE, tableName)
			b.text(unix.NFTA_CHAIN_NAME, name)
		}
	}
	for _, c := range chains {
		if !slices.Contains(there, c.name) {
			c.create(b, f.family(), tableName)
		}
	}
	f.fill(b, chains)
}

// chainsThere are the names of our chains as they were last seen in order.
func (f *family) chainsThere() (names []string) {
	for _, c := range f.normal[partChains] {
		name, _, _ := strings.Cut(c, "\x00")
		names = append(names, name)
	}
	return names
}

// ofTable restricts a question to our table.
func ofTable(b *batch) { b.text(unix.NFTA_RULE_TABLE, tableName) } // the same number for rules, chains and sets

// read returns what the kernel has of our table; nothing at all if there is none.
func (w words) read(on *wire) (is [parts][]string, err error) {
	err = undisturbed(func() (err error) {
		is, err = w.readOnce(on)
		return err
	})
	return is, err
}

func (w words) readOnce(on *wire) (is [parts][]string, err error) {
	err = on.dump(unix.NFT_MSG_GETTABLE, w.family(), nil, func(_ byte, attrs []byte) error {
		if text(find(attrs, unix.NFTA_TABLE_NAME)) == tableName {
			is[partTable] = append(is[partTable], fmt.Sprint(u32(find(attrs, unix.NFTA_TABLE_FLAGS))))
		}
		return nil
	})
	if err != nil || is[partTable] == nil {
		return is, err
	}
	sets := func(_ byte, attrs []byte) error {
		if u32(find(attrs, unix.NFTA_SET_FLAGS))&unix.NFT_SET_ANONYMOUS == 0 {
			is[partSets] = append(is[partSets], fingerprint(attrs, unix.NFTA_SET_NAME, attrSetHandle, unix.NFTA_SET_FLAGS))
		}
		return nil
	}
	chains := func(_ byte, attrs []byte) error {
		if text(find(attrs, unix.NFTA_CHAIN_TABLE)) == tableName {
			is[partChains] = append(is[partChains], fingerprint(attrs,
				unix.NFTA_CHAIN_NAME, unix.NFTA_CHAIN_HANDLE, unix.NFTA_CHAIN_HOOK, unix.NFTA_CHAIN_POLICY))
		}
		return nil
	}
	rules := func(_ byte, attrs []byte) error {
		is[partRules] = append(is[partRules], ruleFingerprint(attrs))
		return nil
	}
	err = errors.Join(on.dump(unix.NFT_MSG_GETSET, w.family(), ofTable, sets),
		on.dump(unix.NFT_MSG_GETCHAIN, w.family(), nil, chains),
		on.dump(unix.NFT_MSG_GETRULE, w.family(), ofTable, rules))
	return is, err
}

// ruleFingerprint: a handle is never given twice, so that it tells a rule from one that another program has put in its
// place, and the expressions tell that it was changed.
func ruleFingerprint(attrs []byte) string {
	return fingerprint(attrs, unix.NFTA_RULE_CHAIN, unix.NFTA_RULE_HANDLE, unix.NFTA_RULE_EXPRESSIONS, unix.NFTA_RULE_USERDATA)
}

// fingerprint is what tells one object from others and from a changed one. Names end in NUL.
func fingerprint(attrs []byte, kinds ...uint16) string {
	var b strings.Builder
	for _, k := range kinds {
		b.Write(find(attrs, k))
		b.WriteByte(0)
	}
	return b.String()
}

// compare says what is wrong with the table, and whether nothing but its rules is.
func (f *family) compare(is [parts][]string) (damage []string, rulesOnly bool) {
	if is[partTable] == nil {
		return []string{"table " + tableName + ": missing"}, false
	}
	rulesOnly = true
	for part, what := range [parts]string{"the table", "sets", "chains", "rules"} {
		if slices.Equal(is[part], f.normal[part]) {
			continue
		}
		rulesOnly = rulesOnly && part == partRules
		switch n, want := len(is[part]), len(f.normal[part]); {
		case n != want:
			damage = append(damage, fmt.Sprintf("table %s: %d %s instead of %d", tableName, n, what, want))
		default:
			damage = append(damage, fmt.Sprintf("table %s: %s changed", tableName, what))
		}
	}
	return damage, rulesOnly
}
