package main

import (
	"fmt"
	"net/netip"
	"strings"

	journald "github.com/coreos/go-systemd/v22/journal"
	"go.uber.org/zap/zapcore"
)

// journalKeys are the log's keys that become fields of an entry in systemd's
// journal, as FTPGATE_ and the key in capitals.
var journalKeys = map[string]bool{
	"session": true, "client": true, "server": true, "user": true, "rule": true,
	"verb": true, "code": true, "cause": true, "why": true,
}

// journalPriorities are those of syslog(3).
var journalPriorities = map[zapcore.Level]journald.Priority{
	zapcore.DebugLevel: journald.PriDebug, zapcore.InfoLevel: journald.PriInfo,
	zapcore.WarnLevel: journald.PriWarning, zapcore.ErrorLevel: journald.PriErr,
}

// journalCore writes to systemd's journal by its own protocol, where entries
// have fields. The message is the line that standard error would get.
type journalCore struct {
	zapcore.LevelEnabler
	encoder zapcore.Encoder
	with    []zapcore.Field
	send    func(message string, priority journald.Priority, fields map[string]string) error
	spare   zapcore.Core // standard error, when the journal does not listen
}

// intoJournal replaces the core that writes to standard error if that is the
// journal's, and nobody else reads it.
func intoJournal(encoder zapcore.Encoder) func(zapcore.Core) zapcore.Core {
	return func(spare zapcore.Core) zapcore.Core {
		if ours, err := journald.StderrIsJournalStream(); err != nil || !ours {
			return spare
		}
		return &journalCore{LevelEnabler: spare, encoder: encoder, send: journald.Send, spare: spare}
	}
}

func (c *journalCore) With(fields []zapcore.Field) zapcore.Core {
	more := *c
	more.with = append(c.with[:len(c.with):len(c.with)], fields...)
	return &more
}

func (c *journalCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

func (c *journalCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	fields = append(c.with[:len(c.with):len(c.with)], fields...)
	line, err := c.encoder.EncodeEntry(entry, fields)
	if err != nil {
		return err
	}
	defer line.Free()
	priority, known := journalPriorities[entry.Level]
	if !known {
		priority = journald.PriCrit
	}
	if err := c.send(strings.TrimSuffix(line.String(), "\n"), priority, journalFields(fields)); err != nil {
		return c.spare.Write(entry, fields)
	}
	return nil
}

func (c *journalCore) Sync() error { return nil } // every entry is sent at once

// journalFields are those of journalKeys. A peer's address stands without its
// port, so that all that one client did is found by one match.
func journalFields(fields []zapcore.Field) map[string]string {
	found := map[string]string{"SYSLOG_IDENTIFIER": "ftpgate"}
	for _, f := range fields {
		if !journalKeys[f.Key] {
			continue
		}
		values := zapcore.NewMapObjectEncoder()
		f.AddTo(values)
		value := fmt.Sprint(values.Fields[f.Key])
		if peer, err := netip.ParseAddrPort(value); err == nil && (f.Key == "client" || f.Key == "server") {
			value = peer.Addr().String()
		}
		found["FTPGATE_"+strings.ToUpper(f.Key)] = value
	}
	return found
}
