"""What tells others how it goes: OpenTelemetry's spans and metrics, and events in the log."""
