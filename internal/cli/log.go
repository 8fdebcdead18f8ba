package cli

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// logger writes to stderr, in the form and at the level of the flag, else of the configuration as far as it is loaded.
func (e *environment) logger() *slog.Logger { return e.loggerAt(slog.LevelWarn) }

// loggerAt is logger with another default of the level.
func (e *environment) loggerAt(level slog.Level) *slog.Logger {
	text, format := e.logLevel, ""
	if e.cfg != nil {
		format = e.cfg.Log.Format
		if text == "" {
			text = e.cfg.Log.Level
		}
	}
	var said slog.Level
	if text != "" && said.UnmarshalText([]byte(text)) == nil {
		level = said
	}
	e.level.Set(level)
	o := &slog.HandlerOptions{Level: &e.level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(e.stdio.Err, o))
	}
	return slog.New(slog.NewTextHandler(e.stdio.Err, o))
}

// switchLevel lets SIGUSR1 switch between the level and debug, until ctx ends.
func switchLevel(ctx context.Context, level *slog.LevelVar, log *slog.Logger) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		defer signal.Stop(asked)
		before := level.Level()
		for {
			select {
			case <-ctx.Done():
				return
			case <-asked:
			}
			if now := level.Level(); now != slog.LevelDebug {
				before = now
				level.Set(slog.LevelDebug)
			} else if before != slog.LevelDebug {
				level.Set(before)
			} else {
				level.Set(slog.LevelInfo)
			}
			log.Warn("the log level is changed", "level", level.Level().String())
		}
	}()
}
