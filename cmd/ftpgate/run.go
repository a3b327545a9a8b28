package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/configs"
)

func runCommand() *cobra.Command {
	var path string
	var sweeps bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the gateway in the foreground",
		Long: `Runs the gateway until SIGTERM or SIGINT, then removes every trace of it from the
host. Data connections that run go on in the kernel. SIGHUP reads the
configuration again: running sessions keep their rule, and a bad file leaves
the old configuration in force. It also opens the audit files again, for those
who have renamed them.

What a run that was killed has left (rules that keep the door closed, ip rules,
settings of the kernel) the next one takes over and removes when it stops. With
--sweep nothing else is done than to remove it; the packages do so before they
are removed.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if sweeps {
				return sweep()
			}
			return run(cmd.Context(), path)
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&sweeps, "sweep", false, "remove what a run that was killed has left on this host, and end")
	return cmd
}

func run(ctx context.Context, path string) error {
	// Signals count from here on, so that a stop in the middle of the start
	// undoes what has been done.
	ctx, stop := signal.NotifyContext(ctx, unix.SIGTERM, unix.SIGINT)
	defer stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, unix.SIGHUP)
	defer signal.Stop(hangup)

	config, warnings, err := configs.Load(path)
	if err != nil {
		return err
	}
	level := zap.NewAtomicLevel()
	log, err := logger(config.Log, level)
	if err != nil {
		return runError{err}
	}
	defer log.Sync()
	warn(log, warnings)

	if err := privileged(); err != nil {
		return runError{err}
	}
	if missing, _ := placed(path, ourselves().troubles(filesOf(config))); missing != nil {
		return runError{missing}
	}
	defer pace()()
	systemd := newSupervisor(log)
	systemd.phase("starting")
	g, err := start(ctx, config, log)
	switch {
	case errors.Is(err, errStopped):
		log.Info("stopped before the start was complete, nothing is left on this host")
		return nil
	case err != nil:
		return runError{err}
	}
	warnOfHost(log, config, g.ipv6)
	log.Info("ready", zap.String("version", versionText()), zap.Int("rules", len(config.Rules)),
		zap.Strings("lan", config.Interfaces.LAN), zap.Strings("wan", config.Interfaces.WAN), zap.Bool("ipv6", g.ipv6),
		zap.Uint16("listen_port", config.ListenPort), zap.Stringer("data_ports", config.DataPorts))
	systemd.ready(g.outlook)
	tick := time.NewTicker(verifyEvery)
	defer tick.Stop()
	var spare memory
	for {
		select {
		case <-tick.C:
			g.verify()
			spare.tidy()
			systemd.turn(g.outlook)
		case <-g.changed:
			g.adapt()
		case <-hangup:
			systemd.reloading()
			reread(ctx, g, path, level)
			systemd.ready(g.outlook)
		case <-ctx.Done():
			log.Info("stopping")
			systemd.phase("stopping", daemon.SdNotifyStopping)
			g.publish("it is stopping")
			if err := g.takeBack(); err != nil {
				return runError{fmt.Errorf("stopping: %w", err)}
			}
			log.Info("stopped, nothing is left on this host")
			return nil
		}
	}
}

// reread is SIGHUP. The audit files are opened again whatever the configuration
// is worth: who has renamed them waits for that.
func reread(ctx context.Context, g *gateway, path string, level zap.AtomicLevel) {
	defer func() { g.audit.Reopen(auditFiles(g.config)) }()
	config, warnings, err := configs.Load(path)
	if err == nil {
		warn(g.log, warnings)
		err = reloadable(ctx, g, path, config)
	}
	g.outlook.reloaded(err)
	if err != nil {
		g.log.Error("the configuration was not reloaded, the old one stays in force", zap.String("why", err.Error()))
		return
	}
	level.SetLevel(levelOf(config.Log))
	warnOfHost(g.log, config, g.ipv6)
	g.log.Info("configuration reloaded, running sessions keep their rule", zap.Int("rules", len(config.Rules)))
}

// reloadable reloads what a reload can change, if the files of the endpoint can be opened.
// Those of the audit are tried again and again, so that a full disk keeps nobody from
// changing a rule.
func reloadable(ctx context.Context, g *gateway, path string, config *configs.Config) error {
	troubles := append(kept(lasting(g.config), int32(os.Getpid()), config), ourselves().troubles(statusFiles(config))...)
	if found, _ := placed(path, troubles); found != nil {
		return found
	}
	return g.reload(ctx, config)
}

func warn(log *zap.Logger, warnings []configs.Warning) {
	for _, w := range warnings {
		log.Warn("configuration", zap.String("why", w.String()))
	}
}

func levelOf(c configs.Log) zapcore.Level {
	level, err := zapcore.ParseLevel(string(c.Level))
	if err != nil {
		return zapcore.InfoLevel // configs admits only zap's own names
	}
	return level
}

// logger writes to standard error, where people look, or to systemd's journal
// if that is what standard error is.
func logger(c configs.Log, level zap.AtomicLevel) (*zap.Logger, error) {
	level.SetLevel(levelOf(c))
	z := zap.NewProductionConfig()
	z.Level = level
	z.Sampling = nil // each refusal is a line that somebody counts
	z.DisableCaller = true
	z.DisableStacktrace = true
	z.Encoding = string(c.Format)
	z.EncoderConfig.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	z.EncoderConfig.EncodeDuration = zapcore.StringDurationEncoder
	z.EncoderConfig.TimeKey = "time"
	z.EncoderConfig.MessageKey = "message"
	encoder := zapcore.NewJSONEncoder(z.EncoderConfig)
	if c.Format == configs.FormatConsole {
		encoder = zapcore.NewConsoleEncoder(z.EncoderConfig)
	}
	return z.Build(zap.WrapCore(intoJournal(encoder)))
}
