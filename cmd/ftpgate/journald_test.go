package main

import (
	"encoding/json"
	"errors"
	"net/netip"
	"testing"

	journald "github.com/coreos/go-systemd/v22/journal"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestJournalFields(t *testing.T) {
	var message string
	var priority journald.Priority
	var fields map[string]string
	var fails error
	spare, spared := observer.New(zapcore.InfoLevel)
	core := &journalCore{LevelEnabler: spare, encoder: zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), spare: spare,
		send: func(m string, p journald.Priority, f map[string]string) error {
			message, priority, fields = m, p, f
			return fails
		}}
	log := zap.New(core).With(zap.Uint64("session", 7))
	write := func() {
		log.Warn("refused", zap.Stringer("client", netip.MustParseAddrPort("[fd50::10]:40000")), zap.String("why", "line\nMESSAGE=forged"),
			zap.Int("code", 530), zap.String("evidence", "is no field"))
	}
	write()
	want := map[string]string{"SYSLOG_IDENTIFIER": "ftpgate", "FTPGATE_SESSION": "7", "FTPGATE_CLIENT": "fd50::10",
		"FTPGATE_WHY": "line\nMESSAGE=forged", "FTPGATE_CODE": "530"}
	if d := cmp.Diff(want, fields); d != "" || priority != journald.PriWarning {
		t.Errorf("priority %d, fields\n%s", priority, d)
	}
	var line map[string]any
	if err := json.Unmarshal([]byte(message), &line); err != nil || line["session"] != 7.0 || line["evidence"] != "is no field" {
		t.Errorf("the message is not the line: %v: %s", err, message)
	}
	message = ""
	if log.Debug("wanted by nobody"); message != "" {
		t.Errorf("below the level: %s", message)
	}
	fails = errors.New("nobody listens")
	write()
	if all := spared.All(); len(all) != 1 || all[0].ContextMap()["session"] != uint64(7) {
		t.Errorf("standard error got %v", all)
	}
}
