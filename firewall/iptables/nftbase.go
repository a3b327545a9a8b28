package iptables

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// iptables-nft makes the table and the built-in chain that a rule needs when they are not there, and leaves them when the
// rule goes. This file looks for those that we caused and takes them away again; the kernel refuses to delete
// what holds anything by then. iptables-legacy has no counterpart: a table, once used, stays until its module goes.

// origin is what inserting a jump had to make. It stands in the jump's comment, so that a run after a crash knows.
type origin string

const (
	madeNothing origin = owned
	madeChain   origin = owned + " (made this chain)"
	madeTable   origin = owned + " (made this table)"
)

func tableFamily(is4 bool) nftables.TableFamily {
	if is4 {
		return nftables.TableFamilyIPv4
	}
	return nftables.TableFamilyIPv6
}

// whatIsMissing tells what iptables-nft would have to make for a rule in the built-in chain.
func whatIsMissing(is4 bool, table, chain string) (origin, error) {
	conn, err := nftables.New()
	if err != nil {
		return "", fmt.Errorf("asking the kernel for tables: %w", err)
	}
	tables, err := conn.ListTablesOfFamily(tableFamily(is4))
	if err != nil {
		return "", fmt.Errorf("asking the kernel for tables: %w", err)
	}
	for _, t := range tables {
		if t.Name != table {
			continue
		}
		chains, err := baseChains(conn, is4, table)
		if err != nil {
			return "", err
		}
		if chains[chain] == nil {
			return madeChain, nil
		}
		return madeNothing, nil
	}
	return madeTable, nil
}

func baseChains(conn *nftables.Conn, is4 bool, table string) (map[string]*nftables.Chain, error) {
	all, err := conn.ListChainsOfTableFamily(tableFamily(is4))
	if err != nil {
		return nil, fmt.Errorf("asking the kernel for chains: %w", err)
	}
	base := map[string]*nftables.Chain{}
	for _, c := range all {
		if c.Table.Name == table && c.Hooknum != nil {
			base[c.Name] = c
		}
	}
	return base, nil
}

// unmake deletes the empty base chains among the named ones, or all of them with the table if whole is set. Chains with
// a rule or another policy than accept stay, and with them the table: somebody needs them by now.
func unmake(is4 bool, table string, chains map[string]bool, whole bool) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("asking the kernel for chains: %w", err)
	}
	base, err := baseChains(conn, is4, table)
	if err != nil {
		return err
	}
	for name, c := range base {
		if (whole || chains[name]) && (c.Policy == nil || *c.Policy == nftables.ChainPolicyAccept) {
			err := deleteEmpty(is4, unix.NFT_MSG_DELCHAIN,
				netlink.Attribute{Type: unix.NFTA_CHAIN_TABLE, Data: zero(table)},
				netlink.Attribute{Type: unix.NFTA_CHAIN_NAME, Data: zero(name)})
			if err != nil {
				return fmt.Errorf("deleting the empty chain %s of table %s: %w", name, table, err)
			}
		}
	}
	if !whole {
		return nil
	}
	return deleteTable(is4, table)
}

// deleteTable deletes a table in which there is nothing, not even an empty chain.
func deleteTable(is4 bool, table string) error {
	if err := deleteEmpty(is4, unix.NFT_MSG_DELTABLE, netlink.Attribute{Type: unix.NFTA_TABLE_NAME, Data: zero(table)}); err != nil {
		return fmt.Errorf("deleting the empty table %s: %w", table, err)
	}
	return nil
}

func zero(s string) []byte { return append([]byte(s), 0) }

// deleteEmpty deletes one chain or table if it is empty; that it is not, or gone, is no error. github.com/google/nftables
// cannot ask for that: what it sends takes the contents along.
func deleteEmpty(is4 bool, what uint16, attrs ...netlink.Attribute) error {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	data, err := netlink.MarshalAttributes(attrs)
	if err != nil {
		return err
	}
	header := func(family nftables.TableFamily, resource uint16) []byte {
		return []byte{byte(family), unix.NFNETLINK_V0, byte(resource >> 8), byte(resource)}
	}
	batch := func(kind netlink.HeaderType) netlink.Message {
		return netlink.Message{
			Header: netlink.Header{Type: kind, Flags: netlink.Request},
			Data:   header(nftables.TableFamilyUnspecified, unix.NFNL_SUBSYS_NFTABLES),
		}
	}
	const nonRecursive = netlink.HeaderFlags(unix.NLM_F_NONREC)
	_, err = conn.SendMessages([]netlink.Message{
		batch(netlink.HeaderType(unix.NFNL_MSG_BATCH_BEGIN)),
		{
			Header: netlink.Header{
				Type:  netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | what),
				Flags: netlink.Request | netlink.Acknowledge | nonRecursive,
			},
			Data: append(header(tableFamily(is4), 0), data...),
		},
		batch(netlink.HeaderType(unix.NFNL_MSG_BATCH_END)),
	})
	if err != nil {
		return err
	}

	_, err = conn.Receive()
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}
