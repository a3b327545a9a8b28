package nftables

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// batch is one transaction of nf_tables as it goes to the kernel: all of its messages take effect at once, or none.
// github.com/google/nftables, whose words for expressions we use, has batches too; it asks for an answer to each
// message of a transaction, and knows neither sets with a statement nor comments of tables, chains and sets.
type batch struct {
	data   []byte
	starts []int    // where each message begins
	doing  []string // what each message does, for errors
	sets   uint32   // anonymous sets so far
}

const (
	sizeHeader = unix.SizeofNlMsghdr + 4 // with struct nfgenmsg
	subsystem  = unix.NFNL_SUBSYS_NFTABLES << 8
	nested     = unix.NLA_F_NESTED

	batchGeneration  = 1                              // NFNL_BATCH_GENID, the first attribute of a batch
	sizeToGeneration = sizeHeader + unix.SizeofNlAttr // what stands before its value
	anyGeneration    = 0                              // see expect
)

func newBatch() *batch {
	b := &batch{data: make([]byte, 0, 1024)}
	b.header(unix.NFNL_MSG_BATCH_BEGIN, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES, "beginning")
	b.u32(batchGeneration, anyGeneration)
	return b
}

// expect has the kernel refuse the batch as a whole, with ERESTART, if nf_tables has another generation by then.
func (b *batch) expect(generation uint32) {
	binary.BigEndian.PutUint32(b.data[sizeToGeneration:], generation)
}

// empty tells whether there is nothing to do.
func (b *batch) empty() bool { return len(b.starts) == 1 }

// message begins the next message; its attributes follow.
func (b *batch) message(kind, flags uint16, fam byte, doing string) {
	b.header(subsystem|kind, flags, fam, 0, doing)
}

func (b *batch) header(kind, flags uint16, fam byte, resource uint16, doing string) {
	b.seal()
	b.starts = append(b.starts, len(b.data))
	b.doing = append(b.doing, doing)
	b.data = binary.NativeEndian.AppendUint32(b.data, 0) // length: seal
	b.data = binary.NativeEndian.AppendUint16(b.data, kind)
	b.data = binary.NativeEndian.AppendUint16(b.data, flags|unix.NLM_F_REQUEST)
	b.data = append(b.data, 0, 0, 0, 0, 0, 0, 0, 0) // sequence number: number; port: ours
	b.data = append(b.data, fam, unix.NFNETLINK_V0, byte(resource>>8), byte(resource))
}

// seal writes the length of the last message.
func (b *batch) seal() {
	if n := len(b.starts); n > 0 {
		start := b.starts[n-1]
		binary.NativeEndian.PutUint32(b.data[start:], uint32(len(b.data)-start))
	}
}

// number gives the messages the sequence numbers from first on, and asks for an answer to the last one: it comes when
// the whole has been committed. Errors are told of each message.
func (b *batch) number(first uint32) {
	b.seal()
	for i, start := range b.starts {
		binary.NativeEndian.PutUint32(b.data[start+8:], first+uint32(i))
	}
	last := b.data[b.starts[len(b.starts)-1]+6:]
	binary.NativeEndian.PutUint16(last, binary.NativeEndian.Uint16(last)|unix.NLM_F_ACK)
}

// end is the message that makes the kernel commit, for the sequence number seq. It is no part of the batch: without it
// the kernel checks everything and does nothing.
func end(seq uint32) []byte {
	b := &batch{}
	b.header(unix.NFNL_MSG_BATCH_END, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES, "committing")
	b.seal()
	binary.NativeEndian.PutUint32(b.data[8:], seq)
	return b.data
}

// attr adds an attribute, padded to four bytes.
func (b *batch) attr(kind uint16, value []byte) {
	b.head(kind, len(value))
	b.data = append(b.data, value...)
	b.pad(len(value))
}

// text adds an attribute that ends in NUL.
func (b *batch) text(kind uint16, s string) {
	b.head(kind, len(s)+1)
	b.data = append(append(b.data, s...), 0)
	b.pad(len(s) + 1)
}

func (b *batch) u32(kind uint16, n uint32) {
	b.head(kind, 4)
	b.data = binary.BigEndian.AppendUint32(b.data, n)
}

func (b *batch) u64(kind uint16, n uint64) {
	b.head(kind, 8)
	b.data = binary.BigEndian.AppendUint64(b.data, n)
}

// comment adds an attribute of user data that nft shows as a comment; kind is what the user data calls one.
func (b *batch) comment(attr uint16, kind byte, s string) {
	n := len(s) + 1 // at most maxComment
	b.head(attr, n+2)
	b.data = append(append(append(b.data, kind, byte(n)), s...), 0)
	b.pad(n + 2)
}

// nest begins an attribute that holds others, up to close of what it returned.
func (b *batch) nest(kind uint16) (begin int) {
	b.head(kind|nested, 0)
	return len(b.data)
}

func (b *batch) close(begin int) {
	binary.NativeEndian.PutUint16(b.data[begin-unix.NLA_HDRLEN:], uint16(len(b.data)-begin+unix.NLA_HDRLEN))
}

// value adds a nested attribute with nothing but data in it: a key, a value, a constant.
func (b *batch) value(kind uint16, data string) {
	at := b.nest(kind)
	b.head(unix.NFTA_DATA_VALUE, len(data))
	b.data = append(b.data, data...)
	b.pad(len(data))
	b.close(at)
}

func (b *batch) head(kind uint16, size int) {
	b.data = binary.NativeEndian.AppendUint16(b.data, uint16(unix.NLA_HDRLEN+size))
	b.data = binary.NativeEndian.AppendUint16(b.data, kind)
}

func (b *batch) pad(size int) {
	for ; size%unix.NLA_ALIGNTO != 0; size++ {
		b.data = append(b.data, 0)
	}
}
